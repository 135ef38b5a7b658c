"""The steps of a generation run, and a process that ends itself by SIGKILL at one of them."""

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from beam_pipelines.generate import prepare
from beam_pipelines.generate.parts import MERGED_PREFIX
from generation import SteadyPainter
from stores import CreativeIndex, FileObjectStore
from stores import objects as file_objects

# Each kind of step; those that write may also end half-way: the bytes are on the disk, under no name yet.
READS = ("chunk read", "cut-out read")
WORK = ("cut-out", "painting", "index")
WRITES = ("chunk written", "cut-out stored", "picture stored", "rows written", "merged part written")
REMOVALS = ("small part removed",)
KINDS = (*READS, *WORK, *WRITES, *REMOVALS)
BEFORE, HALF, AFTER = "before", "half-way", "after"


@dataclass(frozen=True, slots=True)
class Death:
    """SIGKILL at the ``number``-th step of a kind (from 1), at that ``moment`` of it."""

    kind: str
    number: int
    moment: str

    @property
    def name(self) -> str:
        """As a table shows it."""
        return f"{self.kind} {self.number}, {self.moment}"


class _Dying:
    """Counts steps of all threads; the fatal one ends the process as it stands."""

    def __init__(self, death: Death) -> None:
        self._death = death
        self._taken = 0
        self._lock = threading.Lock()
        self._here = threading.local()

    @contextmanager
    def step(self, kind: str) -> Iterator[None]:
        self._here.kind = kind
        if self._death.moment == BEFORE:
            self._take(kind)
        yield
        if self._death.moment == AFTER:
            self._take(kind)
        self._here.kind = ""

    def half(self) -> None:
        """In the middle of a write; one that finds its object there already has none."""
        if self._death.moment == HALF:
            self._take(getattr(self._here, "kind", ""))

    def _take(self, kind: str) -> None:
        with self._lock:
            self._taken += kind == self._death.kind
            fatal = kind == self._death.kind and self._taken == self._death.number
        if fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def die_at(death: Death) -> None:
    """From now on this process ends at that step; it is to be thrown away."""
    dying = _Dying(death)

    def wrap(owner: Any, name: str, kind_of: Callable[..., str]) -> None:
        whole = getattr(owner, name)

        def stepped(*arguments: Any, **named: Any) -> Any:
            kind = kind_of(*arguments)
            if not kind:
                return whole(*arguments, **named)
            with dying.step(kind):
                return whole(*arguments, **named)

        setattr(owner, name, stepped)

    for name in ("put", "put_if_absent"):
        wrap(FileObjectStore, name, lambda store, path, *_: _written(path))
    wrap(FileObjectStore, "get", lambda store, path: _read(path))
    wrap(FileObjectStore, "remove", lambda store, path: REMOVALS[0] if path.startswith("manifest/") else "")
    wrap(prepare, "cut_out", lambda *_: "cut-out")
    wrap(SteadyPainter, "paint", lambda *_: "painting")
    wrap(CreativeIndex, "replace_all", lambda *_: "index")
    fsync = os.fsync

    def half(descriptor: int) -> None:
        fsync(descriptor)
        # Of a new file, not of the folder in which it then appears: it has no name that anyone would look for.
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            dying.half()

    file_objects.os.fsync = half  # type: ignore[attr-defined]


def _written(path: str) -> str:
    if path.startswith(MERGED_PREFIX):
        return "merged part written"
    kinds = {"plans": "chunk written", "cutouts": "cut-out stored", "creatives": "picture stored"}
    return {**kinds, "manifest": "rows written"}.get(path.partition("/")[0], "")


def _read(path: str) -> str:
    return {"plans": "chunk read", "cutouts": "cut-out read"}.get(path.partition("/")[0], "")
