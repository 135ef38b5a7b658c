"""Where the Beam runners are that set-up puts on this machine."""

import os
import shutil
from pathlib import Path

from contracts import SetupError


def find_prism(tools: Path) -> str:
    """Path of the Prism binary: ``BACKDROP_PRISM``, set-up's, or one on PATH.

    Raises:
        SetupError: if ``BACKDROP_PRISM`` names no program, or there is none.
    """
    named = os.environ.get("BACKDROP_PRISM")
    if named and not _is_program(Path(named)):
        message = f"BACKDROP_PRISM names {named!r}, which is not a program: correct it or unset it"
        raise SetupError(message)
    for path in (named, str(tools / "prism"), shutil.which("prism")):
        if path and _is_program(Path(path)):
            return str(Path(path).resolve())
    message = f"Prism, the Beam runner, is not at {tools / 'prism'}: run `make setup`, or set BACKDROP_PRISM"
    raise SetupError(message)


def find_flink(tools: Path) -> str:
    """Path of the folder that set-up has put the Flink job server's jars into.

    Raises:
        SetupError: if there is none.
    """
    folder = tools / "flink"
    if not folder.is_dir():
        message = f"the Flink job server is not at {folder}: run `make setup-flink`"
        raise SetupError(message)
    return str(folder.resolve())


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
