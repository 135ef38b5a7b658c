"""The log as every guarantee means it: archive and live log as one, each position once (design, idea 9)."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from contracts import ORIGIN, EventLog, GapError, LogEntry, LogRead, Position
from stores.archive import ArchivedRange, archived_ranges, before, following, read_range
from stores.objects import ObjectStore

READ_LIMIT = 256
_END = Position(1 << 60, 0)


@dataclass(slots=True)
class _View:
    """What a reader of one partition takes from the archive, and the object that it decoded last.

    ``ranges`` ascend in both ends; they were chosen for reading behind ``base``.
    """

    base: Position
    ranges: Sequence[ArchivedRange]
    path: str = ""
    entries: Sequence[LogEntry] = field(default=())

    def covering(self, reached: Position) -> ArchivedRange | None:
        """The range that goes on behind ``reached``, if there is one."""
        at = bisect_right(self.ranges, reached, key=lambda found: found.after) - 1
        return self.ranges[at] if at >= 0 and self.ranges[at].last > reached else None

    def next_beginning(self, reached: Position) -> Position | None:
        """Where the first range that begins behind ``reached`` begins."""
        at = bisect_right(self.ranges, reached, key=lambda found: found.after)
        return self.ranges[at].after if at < len(self.ranges) else None


class UnionLog:
    """``EventLog`` over archive and live log; ``objects`` None means that there is no archive.

    The archive is read where the live log was trimmed, or lost entries that were archived (a Redis that came back
    with an older dataset), and nowhere else; it is listed when a partition is first read, and when trimming has
    overtaken the reader. An archive object is decoded once for reads that follow one another. The log's clock is the
    live log's alone. For one reader at a time; appending and trimming are the live log's.
    """

    def __init__(self, objects: ObjectStore | None, live: EventLog) -> None:
        self._objects = objects
        self._live = live
        self._views: dict[int, _View] = {}

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return self._live.partitions

    def append(self, partition: int, blobs: Sequence[bytes]) -> tuple[Position, ...]:
        """Append blobs to the live log."""
        return self._live.append(partition, blobs)

    def read(self, partition: int, after: Position, limit: int) -> LogRead:
        """Up to ``limit`` entries behind ``after``, with the live log's clock; fewer only at the end or before a gap.

        Raises:
            GapError: if the next entries may be missing: trimmed from the live log and not in the archive.
            FormatError: if an archive object is damaged.
            UnavailableError: if either store did not answer.
        """
        view = self._views.get(partition)
        if view is None or after < view.base:
            view = self._list(partition, after)
        found: list[LogEntry] = []
        reached = after
        while len(found) < limit:
            archived = view.covering(reached)
            if archived is not None:
                found += self._archived(view, archived, partition, reached)[: limit - len(found)]
                reached = found[-1].position
                continue
            live = self._live.read(partition, reached, limit - len(found))
            # The mark rises with the trimming, so looking at it behind the read leaves no moment unseen.
            trimmed = self._live.trimmed(partition)
            if trimmed > following(reached):
                if found:
                    break
                view = self._list(partition, reached)
                if view.covering(reached) is None:
                    raise self._gap(partition, trimmed, reached, view.next_beginning(reached))
                continue
            stop = view.next_beginning(reached)
            if stop is None:
                return LogRead((*found, *live.entries), live.log_ms)
            found += [entry for entry in live.entries if entry.position <= stop]
            reached = stop
        log_ms = self._live.read(partition, _END, limit).log_ms
        return LogRead(tuple(found), max(log_ms, found[-1].append_ms))

    def require_whole(self, partition: int, after: Position) -> None:
        """Check, without reading entries, that nothing behind ``after`` is missing.

        Raises:
            GapError: if entries behind ``after`` may be in neither archive nor live log.
        """
        trimmed = self._live.trimmed(partition)
        reached, begins = after, None
        for found in self._ranges(partition) if trimmed > following(after) else ():
            if found.after > reached:
                begins = found.after
                break
            reached = max(reached, found.last)
        if trimmed > following(reached):
            raise self._gap(partition, trimmed, reached, begins)

    def first(self, partition: int) -> Position | None:
        """Position of the oldest entry kept in either, or None if there is none."""
        kept = self._live.first(partition)
        for oldest in self._ranges(partition)[:1]:
            archived = self._decode(oldest, partition)[0].position
            kept = archived if kept is None else min(kept, archived)
        return kept

    def last(self, partition: int) -> Position:
        """Position of the newest entry ever appended (``ORIGIN`` if none)."""
        return max([self._live.last(partition), *(newest.last for newest in self._ranges(partition)[-1:])])

    def trimmed(self, partition: int) -> Position:
        """Position below which entries may be gone from both (``ORIGIN`` if none are)."""
        try:
            self.require_whole(partition, ORIGIN)
        except GapError:
            return self._live.trimmed(partition)
        return ORIGIN

    def trim(self, partition: int, below: Position) -> int:
        """Trim the live log."""
        return self._live.trim(partition, below)

    def _list(self, partition: int, after: Position) -> _View:
        trimmed = self._live.trimmed(partition)
        ranges = [
            found
            for found in self._ranges(partition)
            if found.last > after
            and (trimmed > following(max(found.after, after)) or not self._holds(partition, found.last))
        ]
        self._views[partition] = _View(after, ranges)
        return self._views[partition]

    def _ranges(self, partition: int) -> list[ArchivedRange]:
        """The archive's ranges without those that others cover: they ascend in both ends."""
        ranges: list[ArchivedRange] = []
        for found in archived_ranges(self._objects, partition) if self._objects is not None else ():
            if not ranges or found.last > ranges[-1].last:
                ranges.append(found)
        return ranges

    def _holds(self, partition: int, position: Position) -> bool:
        """Whether the live log has that entry. What it loses without trimming is always an end of what it had."""
        return any(entry.position == position for entry in self._live.read(partition, before(position), 1).entries)

    def _archived(self, view: _View, found: ArchivedRange, partition: int, after: Position) -> Sequence[LogEntry]:
        """Entries of a range behind ``after``."""
        if view.path != found.path:
            view.path, view.entries = found.path, self._decode(found, partition)
        return view.entries[bisect_right(view.entries, after, key=lambda entry: entry.position) :]

    def _decode(self, found: ArchivedRange, partition: int) -> Sequence[LogEntry]:
        return () if self._objects is None else read_range(self._objects, found, partition)

    def _gap(self, partition: int, trimmed: Position, after: Position, upto: Position | None) -> GapError:
        behind = f"those up to {trimmed if upto is None else min(upto, trimmed)}"
        advice = (
            f"read the archive too if it has {behind}"
            if self._objects is None
            else f"the archive has no object with {behind} either: put it back"
        )
        return GapError(
            f"partition {partition} of the event log was trimmed below {trimmed}, entries behind {after} are needed: "
            f"{advice}, or begin at a later position"
        )


def union_entries(
    objects: ObjectStore | None, log: EventLog, partition: int, after: Position, *, limit: int = READ_LIMIT
) -> Iterator[LogEntry]:
    """Entries behind ``after`` of archive and live log, ascending, each position once, up to the log's present end.

    ``objects`` None means that there is no archive. Reads ``limit`` entries at a time.

    Raises:
        GapError: if entries may be missing: trimmed from the log and not in the archive.
        FormatError: if an archive object is damaged.
        UnavailableError: if either store did not answer.
    """
    union = UnionLog(objects, log)
    while entries := union.read(partition, after, limit).entries:
        yield from entries
        after = entries[-1].position
