"""Writing files whole: a reader sees the old one or the new one."""

import contextlib
import os
from pathlib import Path

from contracts import SetupError


def write_whole(path: Path, data: bytes) -> Path:
    """Write ``data`` to ``path`` (folders are made), replacing it in one step; returns the path.

    Raises:
        SetupError: if it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        message = f"{path} cannot be written ({error}): check the folder and the space left"
        raise SetupError(message) from error
    return path
