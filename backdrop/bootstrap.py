"""Entry of set-up: ``python3.11 -m backdrop.bootstrap demo|diffusers|test|flink|lock|clean|distclean|help MAKEFILE``.

Apart from backdrop.setup so that another Python gets a sentence, not a traceback from syntax that it does not know.
"""

import sys

if __name__ == "__main__":
    if sys.version_info[:2] != (3, 11):
        sys.exit(
            "Backdrop needs Python 3.11 and {} is Python {}.{}: install python3.11, or run "
            "make PYTHON=/path/to/python3.11".format(sys.executable, *sys.version_info[:2])
        )
    from backdrop.setup import main

    sys.exit(main(sys.argv[1:]))
