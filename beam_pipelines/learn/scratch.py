"""Folders for what must not outlive a process, also when that process is killed."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "backdrop-learn-"
_TRIES = 20
_PAUSE_S = 0.05


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder among the temporary files, removed at the end; those of killed processes are removed, too.

    Its owner holds a lock on it, which the system frees when the owner dies: a folder that can be locked is nobody's.
    """
    for orphan in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            with _locked(orphan):
                _remove(orphan)
        except OSError:
            # Somebody's, or gone already.
            continue
    begun = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
    with _locked(begun):
        # It gets its name once it is locked, so that nobody takes it for an orphan.
        folder = begun.rename(begun.with_name(begun.name.removeprefix(".")))
        try:
            yield folder
        finally:
            _remove(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    """Remove a folder in which a process that is just being killed may still write."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE_S)
