"""The event log as it was at a time: what makes the learner's graph a replay that ends."""

from dataclasses import dataclass

from beam_pipelines.learn.config import NEVER_MS
from beam_pipelines.learn.source import LogOpener, ReadableLog
from contracts import LogRead, Position


class LogAsOf:
    """Entries appended before ``until_ms`` and no others; behind the last of them, the clock stands at ``NEVER_MS``.

    Everything that the log will ever hold of that time is there once its own clock has reached it.
    """

    def __init__(self, log: ReadableLog, until_ms: int) -> None:
        self._log = log
        self._until_ms = until_ms

    def read(self, partition: int, after: Position, limit: int) -> LogRead:
        """Up to ``limit`` entries behind ``after``."""
        read = self._log.read(partition, after, limit)
        entries = tuple(entry for entry in read.entries if entry.append_ms < self._until_ms)
        ended = len(entries) < len(read.entries) or (not entries and read.log_ms >= self._until_ms)
        return LogRead(entries, NEVER_MS if ended else read.log_ms)


@dataclass(frozen=True, slots=True)
class AsOfOpener:
    """Opens a log as of ``until_ms``."""

    log: LogOpener
    until_ms: int

    def open(self) -> ReadableLog:
        """A log with a connection of its own."""
        return LogAsOf(self.log.open(), self.until_ms)
