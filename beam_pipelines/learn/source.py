"""ReadEventLog: the event log as an unbounded Beam source, one split a partition (design, ideas 5 and 6)."""

import math
import threading
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
from apache_beam.utils.shared import Shared
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


class Together:
    """How far the partitions that one process reads have come: a reader's watermark is the least of all.

    Prism keeps one watermark for all splits of a source, the one that it heard last (docs/adr/0019).
    """

    def __init__(self, partitions: int) -> None:
        self._lock = threading.Lock()
        self._committed = [MIN_TIMESTAMP] * partitions

    def commit(self, partition: int, watermark: Timestamp) -> None:
        """Note that all of a partition up to a watermark has reached the runner."""
        with self._lock:
            self._committed[partition] = max(self._committed[partition], watermark)

    def least(self, partition: int, watermark: Timestamp) -> Timestamp:
        """The least of a partition's watermark and what is committed of the others."""
        with self._lock:
            return min([watermark, *self._committed[:partition], *self._committed[partition + 1 :]])


class LogMark(CheckpointMark):
    """How far a reader has come: nothing behind ``position`` was read."""

    def __init__(self, position: Position) -> None:
        self.position = position


class LogMarkCoder(coders.Coder):
    """Writes a mark as its position's text."""

    def encode(self, value: LogMark) -> bytes:
        """Write ``<ms>-<sequence>``."""
        return str(value.position).encode()

    def decode(self, encoded: bytes) -> LogMark:
        """Read what ``encode`` wrote."""
        return LogMark(Position.parse(encoded.decode()))

    def is_deterministic(self) -> bool:
        """Tell that equal marks have equal bytes."""
        return True


class LogReader(UnboundedReader):
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
        together: Together | None = None,
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
        self._together = together
        # What is before a reader's begin has reached the runner, or will not be read.
        self._marked = timestamp_of(after.append_ms)

    def start(self) -> bool:
        """Read the first frame; False if there is none yet."""
        return self.advance()

    def advance(self) -> bool:
        """Read the next frame; False if the log has nothing new, and then its clock is the watermark."""
        if self._together is not None:
            # A reader goes on behind its mark only when all before the mark has reached the runner.
            self._together.commit(self._partition, self._marked)
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
        if self._together is None:
            return self._watermark
        return self._together.least(self._partition, self._watermark)

    def get_checkpoint_mark(self) -> LogMark:
        """Where to go on."""
        self._marked = self._watermark
        return LogMark(self._reached)

    def _raise_watermark(self, log_ms: int) -> None:
        self._watermark = max(self._watermark, timestamp_of(log_ms))

    def _current(self) -> Frame:
        if self._frame is None:
            message = "a log reader was asked for its current frame before it read one"
            raise RuntimeError(message)
        return self._frame


class LogSource(UnboundedSource):
    """The event log behind given positions (one a partition).

    ``together``: one process reads all partitions, and each reader tells the watermark of all.
    """

    def __init__(
        self,
        opener: LogOpener,
        starts: Sequence[Position],
        limit: int,
        pause_s: float,
        partition: int = -1,
        *,
        together: bool = False,
        shared: Any = None,
    ) -> None:
        self._opener = opener
        self._starts = tuple(starts)
        self._limit = limit
        self._pause_s = pause_s
        self._partition = partition
        self._together = together
        # All splits have the same handle: in one process it gives them the same object.
        make: Any = Shared
        self._shared = shared or make()

    def split(self, desired_num_splits: int, options: Any = None) -> "list[LogSource]":
        """One source a partition, whatever number is desired."""
        if self._partition >= 0:
            return [self]
        return [
            LogSource(
                self._opener,
                self._starts,
                self._limit,
                self._pause_s,
                partition,
                together=self._together,
                shared=self._shared,
            )
            for partition in range(len(self._starts))
        ]

    def create_reader(self, options: Any, checkpoint_mark: CheckpointMark | None) -> LogReader:
        """A reader behind the mark, or behind the partition's start."""
        after = checkpoint_mark.position if isinstance(checkpoint_mark, LogMark) else self._starts[self._partition]
        together = self._shared.acquire(lambda: Together(len(self._starts))) if self._together else None
        return LogReader(
            self._opener.open(), self._partition, after, self._limit, pause_s=self._pause_s, together=together
        )

    def get_checkpoint_mark_coder(self) -> coders.Coder:
        """How marks are written."""
        return LogMarkCoder()

    def default_output_coder(self) -> coders.Coder:
        """Frames are bytes."""
        return coders.BytesCoder()


@dataclass(eq=False)
class ReadEventLog(beam.PTransform[Any, Any]):
    """Frames of the event log (bytes), each at its smallest append time.

    ``together``: as of ``LogSource``. Not frozen: Beam sets attributes on it.
    """

    opener: LogOpener
    starts: tuple[Position, ...]
    entries_per_read: int = 256
    poll_interval_s: float = 0.1
    together: bool = False

    def expand(self, begin: Any) -> Any:
        """Read all partitions."""
        return begin | "Read" >> ReadFromUnboundedSource(
            LogSource(self.opener, self.starts, self.entries_per_read, self.poll_interval_s, together=self.together),
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
