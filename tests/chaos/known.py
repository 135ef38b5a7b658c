"""What the traffic knows: which facts the log answered for, and how many of them count by the definitions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from contracts import CLICK, IMPRESSION, LineageSettings, Position
from tests.chaos.facts import ROW, Rows


@dataclass(frozen=True, slots=True)
class Appended:
    """One entry that the log confirmed at ``position``; it may be there before, too, but not before ``tried_ms``."""

    partition: int
    position: Position
    tried_ms: int
    rows: Rows


class Known:
    """All confirmed entries; not safe for threads."""

    def __init__(self) -> None:
        self._entries: list[Appended] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def facts(self) -> int:
        """Rows confirmed, duplicates too."""
        return sum(len(entry.rows) for entry in self._entries)

    def add(self, entry: Appended) -> None:
        """Remember one entry."""
        self._entries.append(entry)

    def missing(self, kept: Mapping[int, Collection[Position]]) -> list[Appended]:
        """Confirmed entries that are not among those kept (partition -> positions)."""
        return [entry for entry in self._entries if entry.position not in kept[entry.partition]]

    def forget(self, entries: Collection[Appended]) -> None:
        """Entries known to be lost count no more."""
        lost = {(entry.partition, entry.position) for entry in entries}
        self._entries = [entry for entry in self._entries if (entry.partition, entry.position) not in lost]

    def counting(self, settings: LineageSettings) -> tuple[int, int]:
        """Distinct facts that count: at least, and at most.

        They differ only by entries whose append was tried more than once: an attempt that was not answered for may
        have reached the log in time where the one that was answered for came too late.
        """
        sizes = [len(entry.rows) for entry in self._entries]
        rows = np.concatenate([entry.rows for entry in self._entries]) if sizes else np.zeros(0, ROW)
        latest = np.repeat(np.array([entry.position.append_ms for entry in self._entries], dtype=np.int64), sizes)
        earliest = np.repeat(np.array([entry.tried_ms for entry in self._entries], dtype=np.int64), sizes)
        may_count = (rows["decision_ms"] <= latest + settings.grace_ms) & (
            (rows["kind"] != CLICK) | (rows["event_ms"] - rows["decision_ms"] <= settings.attribution_ms)
        )
        window = rows["decision_ms"] // settings.window_ms * settings.window_ms
        bound = window + settings.window_ms + settings.attribution_ms + settings.grace_ms
        return _distinct(rows[may_count & (latest < bound)]), _distinct(rows[may_count & (earliest < bound)])


def _distinct(rows: Rows) -> int:
    return sum(len(set(rows["id"][rows["kind"] == kind].tolist())) for kind in (IMPRESSION, CLICK))
