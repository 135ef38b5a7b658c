"""The event log as its readers and writers see it: positions, entries, the protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Place of an entry in one partition: the log's append time in milliseconds, then a running number."""

    append_ms: int
    sequence: int

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read ``"<ms>-<sequence>"``, the form of a Redis stream id."""
        milliseconds, _, sequence = text.partition("-")
        return cls(int(milliseconds), int(sequence or 0))

    def __str__(self) -> str:
        """Write ``"<ms>-<sequence>"``."""
        return f"{self.append_ms}-{self.sequence}"


ORIGIN = Position(0, 0)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One appended blob (a facts batch)."""

    partition: int
    position: Position
    blob: bytes

    @property
    def append_ms(self) -> int:
        """The log's own time of this entry."""
        return self.position.append_ms


@dataclass(frozen=True, slots=True)
class LogRead:
    """Entries after a position, and the log's clock read atomically with them (milliseconds)."""

    entries: tuple[LogEntry, ...]
    log_ms: int


class EventLog(Protocol):
    """An append-only log of blobs in numbered partitions; every call may raise ``UnavailableError``."""

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        ...

    def append(self, partition: int, blobs: Sequence[bytes]) -> tuple[Position, ...]:
        """Append blobs in order; returns when the log has them."""
        ...

    def read(self, partition: int, after: Position, limit: int) -> LogRead:
        """Up to ``limit`` entries behind ``after``, with the log's clock of the same instant."""
        ...

    def first(self, partition: int) -> Position | None:
        """Position of the oldest entry kept, or None if there is none."""
        ...

    def last(self, partition: int) -> Position:
        """Position of the newest entry ever appended (``ORIGIN`` if none), though it may be trimmed."""
        ...

    def trimmed(self, partition: int) -> Position:
        """Position below which entries may be gone (``ORIGIN`` if nothing was ever trimmed)."""
        ...

    def trim(self, partition: int, below: Position) -> int:
        """Forget entries whose position is below ``below``; returns how many."""
        ...
