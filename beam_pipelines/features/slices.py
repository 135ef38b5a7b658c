"""The horizon cut into slices of whole event-time windows, and the part of the log that tells of one."""

import heapq
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from beam_pipelines.learn.source import ReadableLog
from contracts import ORIGIN, LineageSettings, LogEntry, Position
from stores.archive import before

_ENTRIES_PER_READ = 256
_SLICE = struct.Struct(">QQ")
# A slice is read with what was appended shortly before and after it: it should be much longer than that.
_TIMES_THE_MARGIN = 4
_MOST_SLICES = 64


@dataclass(frozen=True, slots=True, order=True)
class Slice:
    """Decisions of the windows that begin from ``first_ms`` to below ``end_ms``."""

    first_ms: int
    end_ms: int

    def to_bytes(self) -> bytes:
        """Write as a Beam element."""
        return _SLICE.pack(self.first_ms, self.end_ms)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Slice":
        """Read a Beam element."""
        return cls(*_SLICE.unpack(data))

    def after(self, rules: LineageSettings) -> Position:
        """Position behind which the log's first entry on these decisions is."""
        earliest = self.first_ms - rules.grace_ms
        return before(Position(earliest, 0)) if earliest > 0 else ORIGIN

    def until_ms(self, rules: LineageSettings) -> int:
        """Append time from which no fact on these decisions counts."""
        return rules.bound_ms(self.end_ms - rules.window_ms)


def horizon(as_of_ms: int, horizon_ms: int, rules: LineageSettings) -> Slice:
    """Windows that begin in the last ``horizon_ms`` and are complete: their bound is not after ``as_of_ms``."""
    window = rules.window_ms
    end = max(0, rules.first_open_window(as_of_ms))
    first = -(-max(0, as_of_ms - horizon_ms) // window) * window
    return Slice(min(first, end), end)


def since(whole: Slice, oldest_append_ms: int, rules: LineageSettings) -> Slice:
    """Leave out the windows that no entry appended at ``oldest_append_ms`` or later can count in."""
    return Slice(min(max(whole.first_ms, rules.first_open_window(oldest_append_ms)), whole.end_ms), whole.end_ms)


def cut(whole: Slice, rules: LineageSettings) -> list[Slice]:
    """The slices of a horizon, ascending; none if it is empty."""
    margin = rules.attribution_ms + 2 * rules.grace_ms
    wanted = max(_TIMES_THE_MARGIN * margin, -(-(whole.end_ms - whole.first_ms) // _MOST_SLICES))
    length = -(-wanted // rules.window_ms) * rules.window_ms
    return [Slice(first, min(first + length, whole.end_ms)) for first in range(whole.first_ms, whole.end_ms, length)]


def entries_of(log: ReadableLog, partitions: int, part: Slice, rules: LineageSettings) -> Iterator[LogEntry]:
    """All entries that may tell of a slice's decisions, of all partitions, ascending by append time.

    Raises:
        GapError: if entries are missing.
        UnavailableError: if a store did not answer.
    """
    streams = [_partition(log, number, part.after(rules), part.until_ms(rules)) for number in range(partitions)]
    return heapq.merge(*streams, key=lambda entry: entry.append_ms)


def _partition(log: ReadableLog, partition: int, after: Position, until_ms: int) -> Iterator[LogEntry]:
    while entries := log.read(partition, after, _ENTRIES_PER_READ).entries:
        for entry in entries:
            if entry.append_ms >= until_ms:
                return
            yield entry
        after = entries[-1].position
