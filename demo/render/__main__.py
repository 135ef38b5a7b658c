"""``python -m demo.render``."""

from demo.render.make_catalogue import main

main()
