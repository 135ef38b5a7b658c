"""What the parent of a learner has seen of log and record, so that a Redis that lost either is noticed and said.

The worker's own writes are refused by a dataset that it does not know (``stores/lua/guard.lua``). That alone would
leave an idle learner unaware, and nobody would remember what there had been.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from contracts import ORIGIN, EventLog, LineageError, Position, UnavailableError
from stores.archive import archived_through, before
from stores.dataset import Dataset
from stores.dead_letters import DeadLetters
from stores.objects import ObjectStore
from stores.statistics import NEVER, StatisticsStore

SOURCE = "learn"
ENTRIES_LOST = "entries_lost"
_READ_LIMIT = 256

_log = structlog.get_logger("learn")


@dataclass(frozen=True, slots=True)
class Loss:
    """Entries of ``partition`` behind ``after``, at least up to ``upto``, that neither log nor archive holds."""

    partition: int
    after: Position
    upto: Position


class Sight:
    """Remembers the dataset, the newest log entry seen in each partition and the low watermark; lives as the parent."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._dataset: Dataset | None = None
        self._seen: dict[int, Position] = {}
        self._low_ms = NEVER

    def settle(
        self, store: StatisticsStore, log: EventLog, objects: ObjectStore | None, letters: DeadLetters
    ) -> Dataset:
        """Say what was lost since the last look, and go on from what is there now; returns the dataset of now.

        No worker may be running: it might be about to archive what it has read.

        Raises:
            UnavailableError: if the lineage, begun just before, has no record again.
        """
        changed = self.look(store, log)
        dataset, low_ms = store.dataset(), store.low_watermark()
        if dataset is None:
            message = f"lineage {store.lineage!r} has no record: Redis was emptied just now, so begin it again"
            raise UnavailableError(message)
        if changed:
            _log.warning(
                "dataset_changed",
                lineage=store.lineage,
                reason=changed,
                low_watermark_ms=low_ms,
                before_ms=self._low_ms,
            )
        for loss in losses(self._seen, log, objects):
            place = {"partition": loss.partition, "after": str(loss.after), "upto": str(loss.upto)}
            _log.error(ENTRIES_LOST, lineage=store.lineage, **place)
            letters.put(SOURCE, ENTRIES_LOST, {"lineage": store.lineage, **place})
        self._dataset, self._low_ms = dataset, low_ms
        self._seen = _newest(log)
        return dataset

    def look(self, store: StatisticsStore, log: EventLog) -> str:
        """Look again; returns what has changed or gone of record and log, "" if they only grew."""
        try:
            if self._dataset is not None:
                self._dataset.require_same(store.dataset())
        except LineageError as error:
            return str(error)
        for partition, seen in self._seen.items():
            if not _keeps(log, partition, seen):
                return f"partition {partition} of the event log no longer holds its entry {seen}"
        self._low_ms = max(self._low_ms, store.low_watermark())
        # Never lower: Redis may have been emptied a moment ago, which the next look will tell.
        newest = _newest(log)
        self._seen = {partition: max(self._seen.get(partition, last), last) for partition, last in newest.items()}
        return ""


def losses(seen: dict[int, Position], log: EventLog, objects: ObjectStore | None) -> Iterator[Loss]:
    """What is in no store of all that was seen (partition -> newest entry)."""
    for partition, upto in seen.items():
        if _keeps(log, partition, upto):
            continue
        reached = ORIGIN if objects is None else archived_through(objects, partition, ORIGIN)
        while reached < upto:
            held = [
                entry.position for entry in log.read(partition, reached, _READ_LIMIT).entries if entry.position <= upto
            ]
            if not held:
                yield Loss(partition, reached, upto)
                break
            reached = held[-1]


def _newest(log: EventLog) -> dict[int, Position]:
    return {partition: log.last(partition) for partition in range(log.partitions)}


def _keeps(log: EventLog, partition: int, seen: Position) -> bool:
    """Whether a partition still has an entry that was seen, or has been trimmed above it."""
    if seen == ORIGIN or log.trimmed(partition) > seen:
        return True
    entries = log.read(partition, before(seen), 1).entries
    return bool(entries) and entries[0].position == seen
