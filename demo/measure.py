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
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(entry.parent.name)
        parents[pid], resident[pid] = int(fields[_PARENT]), int(fields[_RSS]) * _PAGE_BYTES
    total = 0
    for pid, size in resident.items():
        at = pid
        while at != root and at in parents:
            at = parents[at]
        total += size if at == root else 0
    return total
