"""What the studio counts of the event log: in memory, bounded, each decision once."""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts import CLICK, FactBatch

MAX_DECISIONS = 200_000
MAX_CELLS = 200_000
MAX_BUCKETS = 180
FIRST_BUCKET_MS = 2_000

_SHOWN, _CLICKED = 1, 2


@dataclass(slots=True)
class Tally:
    """Decisions shown, and those of them clicked."""

    shown: int = 0
    clicked: int = 0

    def add(self, shown: int, clicked: int) -> None:
        """Count more."""
        self.shown += shown
        self.clicked += clicked


@dataclass(frozen=True, slots=True)
class Cell:
    """What tallies are kept by."""

    item: str
    placement: str
    arm: str
    policy: str


@dataclass(slots=True)
class Timeline:
    """Tallies by policy in equal buckets of log time; buckets double in width when there are too many."""

    bucket_ms: int = FIRST_BUCKET_MS
    buckets: dict[int, dict[str, Tally]] = field(default_factory=dict)

    def add(self, time_ms: int, policy: str, shown: int, clicked: int) -> None:
        """Count at a time."""
        number = time_ms // self.bucket_ms
        bucket = self.buckets.get(number)
        if bucket is not None:
            bucket.setdefault(policy, Tally()).add(shown, clicked)
            return
        self.buckets[number] = {policy: Tally(shown, clicked)}
        while max(self.buckets) - min(self.buckets) >= MAX_BUCKETS:
            self._coarsen()

    def _coarsen(self) -> None:
        merged: dict[int, dict[str, Tally]] = {}
        for number, tallies in self.buckets.items():
            target = merged.setdefault(number // 2, {})
            for policy, tally in tallies.items():
                target.setdefault(policy, Tally()).add(tally.shown, tally.clicked)
        self.buckets = merged
        self.bucket_ms *= 2


class Counts:
    """Folds facts into tallies; a decision is shown once and clicked once, whatever repeats."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.timeline = Timeline()
        self.policies: dict[str, Tally] = {}
        self.cells: dict[Cell, Tally] = {}
        self.categories: dict[str, str] = {}
        self.facts = 0
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def fold(self, batch: FactBatch, append_ms: int, counting: NDArray[np.bool_]) -> None:
        """Count the facts (n,) of a batch for which ``counting`` holds; a click says it was shown, too."""
        self.facts += len(batch)
        ids = batch.ids()
        names = {name: batch.coded(name) for name in ("item", "placement", "arm", "policy", "category")}
        kinds = batch.integers("kind")
        for row in np.flatnonzero(counting):
            new = self._first(ids[row].tobytes(), clicked=bool(kinds[row] == CLICK))
            if not new:
                continue
            text = {name: values[codes[row]] for name, (codes, values) in names.items()}
            self._add(text, append_ms, shown=new & _SHOWN, clicked=(new & _CLICKED) // _CLICKED)

    def slots(self, asked: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], Mapping[str, Mapping[str, Tally]]]:
        """Tallies of the asked (item, placement) pairs by arm, then policy."""
        found: dict[tuple[str, str], dict[str, dict[str, Tally]]] = {slot: {} for slot in asked}
        for cell, tally in self.cells.items():
            slot = found.get((cell.item, cell.placement))
            if slot is not None:
                slot.setdefault(cell.arm, {})[cell.policy] = tally
        return found

    def policy_series(self, trailing_buckets: int | None) -> Iterator[tuple[int, Mapping[str, Tally]]]:
        """For each bucket its end (ms) and the tallies so far, or of the last ``trailing_buckets`` buckets."""
        numbers = sorted(self.timeline.buckets)
        if not numbers:
            return
        running: dict[str, Tally] = {}
        for number in range(numbers[0], numbers[-1] + 1):
            for policy, tally in self.timeline.buckets.get(number, {}).items():
                running.setdefault(policy, Tally()).add(tally.shown, tally.clicked)
            if trailing_buckets is not None:
                for policy, tally in self.timeline.buckets.get(number - trailing_buckets, {}).items():
                    running[policy].add(-tally.shown, -tally.clicked)
            end_ms = (number + 1) * self.timeline.bucket_ms
            yield end_ms, {policy: Tally(tally.shown, tally.clicked) for policy, tally in running.items()}

    def _first(self, decision_id: bytes, *, clicked: bool) -> int:
        said = _SHOWN | _CLICKED if clicked else _SHOWN
        before = self._seen.get(decision_id, 0)
        new = said & ~before
        if new:
            self._seen[decision_id] = before | said
            if len(self._seen) > MAX_DECISIONS:
                self._seen.popitem(last=False)
        return new

    def _add(self, text: Mapping[str, str], append_ms: int, *, shown: int, clicked: int) -> None:
        policy = text["policy"]
        self.timeline.add(append_ms, policy, shown, clicked)
        self.policies.setdefault(policy, Tally()).add(shown, clicked)
        cell = Cell(text["item"], text["placement"], text["arm"], policy)
        tally = self.cells.get(cell)
        if tally is None:
            if len(self.cells) >= MAX_CELLS:
                return
            tally = self.cells[cell] = Tally()
        tally.add(shown, clicked)
        self.categories[text["item"]] = text["category"]
