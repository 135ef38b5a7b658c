"""Batch replay: the event log from its beginning to a watermark, with the same folds as the stream."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from beam_pipelines.learn.closing import close_windows
from beam_pipelines.learn.decode import decode_entries
from beam_pipelines.learn.fold import WindowState, delta, fold
from beam_pipelines.learn.route import ShardWindow, route
from contracts import ORIGIN, EventLog, InvalidInputError, LineageSettings, LogEntry, StatisticsBlob
from stores.objects import ObjectStore
from stores.union_log import union_entries

_ENTRIES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class ReplayedCategory:
    """A category's ``base`` (None if no window of it closed) and its open ``deltas`` by (window, shard)."""

    base: StatisticsBlob | None
    deltas: Mapping[tuple[int, int], StatisticsBlob]

    @property
    def facts(self) -> int:
        """Facts counted."""
        return (self.base.version if self.base else 0) + sum(blob.version for blob in self.deltas.values())


@dataclass(frozen=True, slots=True)
class LineageState:
    """A lineage as of ``watermark_ms``; ``tally`` counts facts read by verdict, ``windows_closed`` distinct windows."""

    watermark_ms: int
    categories: Mapping[str, ReplayedCategory]
    windows_closed: int
    tally: Mapping[str, int]

    @property
    def facts(self) -> int:
        """Facts counted."""
        return sum(category.facts for category in self.categories.values())


def replay(entries: Iterable[LogEntry], settings: LineageSettings, *, lineage: str, watermark_ms: int) -> LineageState:
    """Fold all entries appended before ``watermark_ms`` and close all windows whose bound it has reached.

    ``entries`` come in order of append time, each position once; those from ``watermark_ms`` on are not read.

    Raises:
        InvalidInputError: if entries are out of order.
    """
    run = _Run(settings, lineage)
    batch: list[LogEntry] = []
    newest = 0
    for entry in entries:
        if entry.append_ms < newest:
            message = f"log entry {entry.position} comes after one of {newest} ms: replay needs them in order of time"
            raise InvalidInputError(message)
        newest = entry.append_ms
        if newest >= watermark_ms:
            break
        batch.append(entry)
        if len(batch) >= _ENTRIES_AT_ONCE:
            run.take(batch)
            run.close(newest)
            batch = []
    run.take(batch)
    run.close(watermark_ms)
    return run.state(watermark_ms)


def entries_in_order(log: EventLog, objects: ObjectStore | None = None) -> Iterator[LogEntry]:
    """All entries of the log (archive and live), ascending by append time; ``objects`` None: there is no archive.

    Raises:
        GapError: if entries are missing.
    """
    streams = [union_entries(objects, log, partition, ORIGIN) for partition in range(log.partitions)]
    return heapq.merge(*streams, key=lambda entry: entry.append_ms)


class _Run:
    """What a replay has folded so far."""

    def __init__(self, settings: LineageSettings, lineage: str) -> None:
        self._settings = settings
        self._lineage = lineage
        self._open: dict[ShardWindow, WindowState] = {}
        self._bases: dict[str, StatisticsBlob] = {}
        self._closed: set[int] = set()
        self._tally: Counter[str] = Counter()

    def take(self, entries: list[LogEntry]) -> None:
        """Fold entries."""
        decoded = decode_entries(entries, self._settings)
        for tally in decoded.tallies:
            self._tally.update(tally)
        for place, facts in route(decoded.counting, self._settings).items():
            state = self._open.get(place) or WindowState.zero(self._settings.d)
            self._open[place] = fold(state, facts).state

    def close(self, watermark_ms: int) -> None:
        """Close all windows whose bound the watermark has reached, ascending by category."""
        due = sorted(place for place in self._open if self._settings.bound_ms(place.window) <= watermark_ms)
        by_category: dict[str, dict[int, list[StatisticsBlob]]] = defaultdict(lambda: defaultdict(list))
        for place in due:
            self._closed.add(place.window)
            for category, blob in self._deltas(place, self._open.pop(place)):
                by_category[category][place.window].append(blob)
        for category, windows in by_category.items():
            self._bases[category] = close_windows(
                self._bases.get(category), windows, self._settings, self._lineage, category
            )

    def state(self, watermark_ms: int) -> LineageState:
        """The lineage now."""
        deltas: dict[str, dict[tuple[int, int], StatisticsBlob]] = defaultdict(dict)
        for place, state in self._open.items():
            for category, blob in self._deltas(place, state):
                deltas[category][place.window, place.shard] = blob
        categories = {
            name: ReplayedCategory(self._bases.get(name), deltas.get(name, {}))
            for name in sorted({*self._bases, *deltas})
        }
        return LineageState(watermark_ms, categories, len(self._closed), dict(self._tally))

    def _deltas(self, place: ShardWindow, state: WindowState) -> Iterator[tuple[str, StatisticsBlob]]:
        for category in sorted(state.facts):
            yield (
                category,
                delta(
                    state,
                    category,
                    settings=self._settings,
                    lineage=self._lineage,
                    window=place.window,
                    shard=place.shard,
                ),
            )
