"""An event log in memory, with a clock that the test sets."""

from collections.abc import Sequence

from contracts import ORIGIN, LogEntry, LogRead, Position, UnavailableError


class MemoryLog:
    """``down`` makes reads fail; ``reads`` and ``entries_read`` count them."""

    def __init__(self, partitions: int = 1) -> None:
        self.held: list[list[LogEntry]] = [[] for _ in range(partitions)]
        self.log_ms = 0
        self.reads = 0
        self.entries_read = 0
        self.down = False

    @property
    def partitions(self) -> int:
        return len(self.held)

    def add(self, append_ms: int, blob: bytes = b"x", partition: int = 0) -> Position:
        position = Position(append_ms, len(self.held[partition]))
        self.held[partition].append(LogEntry(partition, position, blob))
        return position

    def append(self, partition: int, blobs: Sequence[bytes]) -> tuple[Position, ...]:
        return tuple(self.add(self.log_ms, blob, partition) for blob in blobs)

    def read(self, partition: int, after: Position, limit: int) -> LogRead:
        self.reads += 1
        if self.down:
            message = "down"
            raise UnavailableError(message)
        found = tuple(entry for entry in self.held[partition] if entry.position > after)[:limit]
        self.entries_read += len(found)
        return LogRead(found, max(self.log_ms, found[-1].append_ms) if found else self.log_ms)

    def first(self, partition: int) -> Position | None:
        return self.held[partition][0].position if self.held[partition] else None

    def last(self, partition: int) -> Position:
        return self.held[partition][-1].position if self.held[partition] else ORIGIN

    def trimmed(self, partition: int) -> Position:
        return ORIGIN

    def trim(self, partition: int, below: Position) -> int:
        kept = [entry for entry in self.held[partition] if entry.position >= below]
        gone = len(self.held[partition]) - len(kept)
        self.held[partition] = kept
        return gone
