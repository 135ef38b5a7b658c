"""ReadEventLog: the event log as an unbounded Beam source, all partitions by one reader (design, ideas 5 and 6)."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import apache_beam as beam
from apache_beam import coders
from apache_beam.io.unbounded_source import (
    CheckpointMark,
    ReadFromUnboundedSource,
    UnboundedReader,
    UnboundedSource,
)
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp

from beam_pipelines.learn.frames import Frame, encode_frame
from beam_pipelines.learn.times import timestamp_of
from contracts import LogEntry, LogRead, Position
from stores.connect import connect
from stores.objects import open_objects
from stores.redis_log import RedisEventLog
from stores.union_log import UnionLog

# A frame stays well below what gRPC and a worker's memory like.
_MAX_FRAME_BYTES = 4 * 1024 * 1024
# How many entries fit is known only from those read before: the first read asks for few.
_FIRST_ENTRIES = 8
# Watermarks and checkpoints move between bundles: short ones keep the lag low.
_FRAMES_PER_BUNDLE = 8
_SECONDS_PER_BUNDLE = 0.5


class ReadableLog(Protocol):
    """An event log, as far as a reader needs it."""

    def read(self, partition: int, after: Position, limit: int) -> LogRead:
        """Up to ``limit`` entries behind ``after``, with the log's clock of the same instant."""
        ...


class LogOpener(Protocol):
    """Opens the event log in the worker that reads it; travels with the pipeline, so it holds plain values only."""

    def open(self) -> ReadableLog:
        """A log to read from."""
        ...


@dataclass(frozen=True, slots=True)
class RedisLogOpener:
    """Opens the event log on Redis Streams together with its archive (``archive_uri`` "": there is none)."""

    url: str
    partitions: int
    archive_uri: str = ""

    def open(self) -> UnionLog:
        """A log with a connection of its own."""
        objects = open_objects(self.archive_uri) if self.archive_uri else None
        return UnionLog(objects, RedisEventLog(connect(self.url), self.partitions))


class LogMark(CheckpointMark):
    """How far a reader has come: of each partition nothing behind its position was read."""

    def __init__(self, positions: Sequence[Position]) -> None:
        self.positions = tuple(positions)


class LogMarkCoder(coders.Coder):
    """Writes a mark as its positions' text."""

    def encode(self, value: LogMark) -> bytes:
        """Write ``<ms>-<sequence>`` of each partition, with commas."""
        return ",".join(map(str, value.positions)).encode()

    def decode(self, encoded: bytes) -> LogMark:
        """Read what ``encode`` wrote."""
        return LogMark([Position.parse(text) for text in encoded.decode().split(",")])

    def is_deterministic(self) -> bool:
        """Tell that equal marks have equal bytes."""
        return True


class PartitionReader:
    """Reads one partition in frames; its watermark is the log's own time, never the local clock's.

    Having reached the end it does not look again before ``pause_s`` have gone by (``clock`` in seconds), so that
    a steady trickle comes in frames of some size.
    """

    def __init__(
        self,
        log: ReadableLog,
        partition: int,
        after: Position,
        limit: int,
        *,
        pause_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._partition = partition
        self._reached = after
        self._limit = limit
        self._fitting = min(limit, _FIRST_ENTRIES)
        self._pause_s = pause_s
        self._clock = clock
        self._look_again = -math.inf
        self._frame: Frame | None = None
        self._watermark = MIN_TIMESTAMP

    @property
    def reached(self) -> Position:
        """Where to go on."""
        return self._reached

    def advance(self) -> bool:
        """Read the next frame; False if the log has nothing new, and then its clock is the watermark."""
        if self._clock() < self._look_again:
            return False
        read = self._log.read(self._partition, self._reached, self._fitting)
        entries = _bounded(read.entries)
        if len(entries) == len(read.entries) < self._fitting:
            self._look_again = self._clock() + self._pause_s
        if entries:
            self._fitting = min(self._limit, _fitting(entries))
        else:
            self._raise_watermark(read.log_ms)
            return False
        self._frame = Frame(self._partition, self._reached, entries)
        last = self._frame.entries[-1]
        self._reached = last.position
        # More entries of that same millisecond may still be appended.
        self._raise_watermark(last.append_ms)
        return True

    def get_current(self) -> bytes:
        """The frame last read."""
        return encode_frame(self._current())

    def get_current_timestamp(self) -> Timestamp:
        """The smallest append time in the frame."""
        return timestamp_of(self._current().entries[0].append_ms)

    def get_watermark(self) -> Timestamp:
        """Append time below which nothing more will come."""
        return self._watermark

    def _raise_watermark(self, log_ms: int) -> None:
        self._watermark = max(self._watermark, timestamp_of(log_ms))

    def _current(self) -> Frame:
        if self._frame is None:
            message = "a log reader was asked for its current frame before it read one"
            raise RuntimeError(message)
        return self._frame


class LogReader(UnboundedReader):
    """Reads partitions in turn; its watermark is the lowest of theirs."""

    def __init__(self, readers: Sequence[PartitionReader]) -> None:
        self._readers = tuple(readers)
        self._last = len(self._readers) - 1

    def start(self) -> bool:
        """Read the first frame; False if there is none yet."""
        return self.advance()

    def advance(self) -> bool:
        """Read a frame of the next partition that has one; False if none has."""
        for step in range(1, len(self._readers) + 1):
            following = (self._last + step) % len(self._readers)
            if self._readers[following].advance():
                self._last = following
                return True
        return False

    def get_current(self) -> bytes:
        """The frame last read."""
        return self._readers[self._last].get_current()

    def get_current_timestamp(self) -> Timestamp:
        """The smallest append time in the frame."""
        return self._readers[self._last].get_current_timestamp()

    def get_watermark(self) -> Timestamp:
        """Append time below which nothing more will come from any partition."""
        return min(reader.get_watermark() for reader in self._readers)

    def get_checkpoint_mark(self) -> LogMark:
        """Where to go on."""
        return LogMark([reader.reached for reader in self._readers])


class LogSource(UnboundedSource):
    """The event log behind given positions (one a partition)."""

    def __init__(self, opener: LogOpener, starts: Sequence[Position], limit: int, pause_s: float) -> None:
        self._opener = opener
        self._starts = tuple(starts)
        self._limit = limit
        self._pause_s = pause_s

    def split(self, desired_num_splits: int, options: Any = None) -> "list[LogSource]":
        """The source itself: of several splits, Prism lets the one read last set the watermark (docs/adr/0019)."""
        return [self]

    def create_reader(self, options: Any, checkpoint_mark: CheckpointMark | None) -> LogReader:
        """A reader behind the mark, or behind the starts."""
        reached = checkpoint_mark.positions if isinstance(checkpoint_mark, LogMark) else self._starts
        log = self._opener.open()
        return LogReader(
            [
                PartitionReader(log, partition, after, self._limit, pause_s=self._pause_s)
                for partition, after in enumerate(reached)
            ]
        )

    def get_checkpoint_mark_coder(self) -> coders.Coder:
        """How marks are written."""
        return LogMarkCoder()

    def default_output_coder(self) -> coders.Coder:
        """Frames are bytes."""
        return coders.BytesCoder()


@dataclass(eq=False)
class ReadEventLog(beam.PTransform[Any, Any]):
    """Frames of the event log (bytes), each at its smallest append time. Not frozen: Beam sets attributes on it."""

    opener: LogOpener
    starts: tuple[Position, ...]
    entries_per_read: int = 256
    poll_interval_s: float = 0.1

    def expand(self, begin: Any) -> Any:
        """Read all partitions."""
        return begin | "Read" >> ReadFromUnboundedSource(
            LogSource(self.opener, self.starts, self.entries_per_read, self.poll_interval_s),
            poll_interval=self.poll_interval_s,
            max_records_per_bundle=_FRAMES_PER_BUNDLE,
            max_read_time_seconds=_SECONDS_PER_BUNDLE,
        )


def _fitting(entries: tuple[LogEntry, ...]) -> int:
    """How many entries of the size of these fit a frame."""
    size = sum(len(entry.blob) for entry in entries)
    return max(1, _MAX_FRAME_BYTES * len(entries) // max(size, 1))


def _bounded(entries: tuple[LogEntry, ...]) -> tuple[LogEntry, ...]:
    size = 0
    for count, entry in enumerate(entries):
        size += len(entry.blob)
        if size > _MAX_FRAME_BYTES and count > 0:
            return entries[:count]
    return entries
