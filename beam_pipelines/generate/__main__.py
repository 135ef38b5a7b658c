"""``python -m beam_pipelines.generate FOLDER``: the child process of ``run``."""

import sys
from pathlib import Path

from beam_pipelines.generate.job import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
