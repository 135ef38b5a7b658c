"""``python -m beam_pipelines.generate FOLDER``: the child process of ``run``."""

import sys
from pathlib import Path

from beam_pipelines.generate.job import main
from beam_pipelines.generate.lifeline import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    sys.exit(main(Path(sys.argv[1])))
