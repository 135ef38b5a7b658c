"""Wall time and peak memory of each phase, of this process and all its descendants."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.25
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")
# Fields of /proc/<pid>/stat behind the command's name, counted from 0 (proc(5)).
_PARENT, _RSS = 1, 21


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase: ``wall_s`` seconds, ``peak_bytes`` the largest sum of resident sets (shared pages count each time)."""

    name: str
    wall_s: float
    peak_bytes: int


class PhaseMeter:
    """Times phases and samples memory in a thread while its block runs; phases may overlap."""

    def __init__(self, sample_s: float = SAMPLE_S) -> None:
        self.phases: list[Phase] = []
        self._sample_s = sample_s
        self._peaks: dict[str, int] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Sample memory until the block is left."""
        thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what the block does."""
        started = time.monotonic()
        with self._lock:
            self._peaks[name] = tree_bytes(os.getpid())
        try:
            yield
        finally:
            with self._lock:
                peak = self._peaks.pop(name)
            self.phases.append(Phase(name, time.monotonic() - started, max(peak, tree_bytes(os.getpid()))))

    def _watch(self) -> None:
        while not self._stop.wait(self._sample_s):
            now = tree_bytes(os.getpid())
            with self._lock:
                for name, peak in self._peaks.items():
                    self._peaks[name] = max(peak, now)


def tree_bytes(root: int) -> int:
    """Resident bytes of process ``root`` and all its descendants; 0 where there is no /proc."""
    fields = (_stat(pid) for pid in (root, *descendants(root)))
    return sum(int(found[_RSS]) * _PAGE_BYTES for found in fields if found)


def descendants(root: int) -> list[int]:
    """Ids of the processes that ``root`` started, directly or through others; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields:
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found = [root]
    for above in found:
        found += children.get(above, [])
    return found[1:]


def _stat(pid: int) -> list[str]:
    """What the kernel says of a process behind its name; nothing if it has gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
