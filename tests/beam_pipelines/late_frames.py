"""A job over the event log that tells which frames came behind the watermark."""

import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import redis
from apache_beam import coders
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, TimerSpec, on_timer

from beam_pipelines.learn import LearnConfig
from beam_pipelines.learn.frames import decode_frame
from beam_pipelines.learn.job_server import JobServer
from beam_pipelines.learn.runners import runner_of
from beam_pipelines.learn.source import ReadableLog, ReadEventLog, RedisLogOpener
from beam_pipelines.learn.times import ms_of, next_multiple, timestamp_of
from contracts import ORIGIN, LogRead, Position
from stores.connect import command, connect

SEEN = "seen"
FIRED = "fired"
LATE = "late"
SLOW = 1
_SLOW_S = 0.03
_EVERY_MS, _AHEAD_MS = 500, 5_000


@dataclass(frozen=True, slots=True)
class SlowOpener:
    """Opens a log with a partition so slow that its bundles outlast what others wait before they look again."""

    opener: RedisLogOpener
    slow: int
    pause_s: float

    def open(self) -> "SlowLog":
        """A log with a connection of its own."""
        return SlowLog(self.opener.open(), self.slow, self.pause_s)


@dataclass(frozen=True, slots=True)
class SlowLog:
    """A log in which reading partition ``slow`` takes ``pause_s`` longer."""

    log: ReadableLog
    slow: int
    pause_s: float

    def read(self, partition: int, after: Position, limit: int) -> LogRead:
        """As the log's, later."""
        if partition == self.slow:
            time.sleep(self.pause_s)
        return self.log.read(partition, after, limit)


class FindLate(beam.DoFn):
    """Sets timers up to five seconds behind each frame; a frame that begins before a time that has fired is late.

    All under one key. In Redis: ``SEEN`` and ``FIRED`` count entries and timers, ``LATE`` lists the late ones' first
    entry and the time fired, in ms.
    """

    PASSED = beam.DoFn.StateParam(ReadModifyWriteStateSpec("passed", coders.VarIntCoder()))
    TIME_SPEC = TimerSpec("time", TimeDomain.WATERMARK)
    TIME = beam.DoFn.TimerParam(TIME_SPEC)

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._client: redis.Redis | None = None

    def setup(self) -> None:
        """Connect."""
        self._client = connect(self._redis_url)

    def process(self, element: tuple[bytes, bytes], passed: Any = PASSED, timer: Any = TIME) -> None:
        """Take one frame."""
        entries = decode_frame(element[1]).entries
        first_ms, passed_ms = entries[0].append_ms, passed.read() or 0
        if first_ms < passed_ms:
            self._tell("RPUSH", LATE, f"{first_ms} {passed_ms}")
        self._tell("INCRBY", SEEN, len(entries))
        first_due_ms = next_multiple(first_ms, _EVERY_MS)
        for due_ms in range(first_due_ms, first_due_ms + _AHEAD_MS + 1, _EVERY_MS):
            timer.set(timestamp_of(due_ms), dynamic_timer_tag=str(due_ms))

    @on_timer(TIME_SPEC)
    def passes(self, at: Any = beam.DoFn.TimestampParam, passed: Any = PASSED) -> None:
        """Note the time."""
        passed.write(max(ms_of(at), passed.read() or 0))
        self._tell("INCR", FIRED)

    def _tell(self, *words: str | int) -> None:
        if self._client is not None:
            command(self._client, *words)


def main() -> None:
    """Run the job told as ``LearnConfig`` on the command line, until it is killed."""
    config = LearnConfig.from_json(sys.argv[1])
    server = JobServer(runner_of(config), Path(tempfile.gettempdir()), log_level=config.log_level)
    server.start()
    pipeline = beam.Pipeline(options=PipelineOptions(server.options))
    frames = pipeline | ReadEventLog(
        SlowOpener(RedisLogOpener(config.redis_url, config.partitions), SLOW, _SLOW_S),
        (ORIGIN,) * config.partitions,
        config.entries_per_read,
        config.poll_interval_s,
    )
    to_one_key: Any = beam.Map
    par_do: Any = beam.ParDo
    _ = (
        frames
        | to_one_key(lambda frame: (b"", frame)).with_output_types(tuple[bytes, bytes])
        | par_do(FindLate(config.redis_url))
    )
    pipeline.run()
    threading.Event().wait()
