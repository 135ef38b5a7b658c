"""Writing files whole: a reader sees the old one or the new one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from contracts import SetupError


def write_whole(path: Path, data: bytes) -> Path:
    """Write ``data`` to ``path`` (folders are made), replacing it in one step; returns the path.

    Raises:
        SetupError: if it cannot be written.
    """
    with part_of(path) as part:
        part.write_bytes(data)
    return path


@contextlib.contextmanager
def part_of(path: Path) -> Iterator[Path]:
    """A file beside ``path`` (folders are made) that takes its place once it is written whole.

    Raises:
        SetupError: if it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        message = f"{path} cannot be written ({error}): check the folder and the space left"
        raise SetupError(message) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
