"""The learner's job written the plain way, as a yardstick: one event an element, keyed state, sets and dictionaries.

The same source, the same rules, and just as exact: a set of kinds for each decision, then sums for each (category,
window, arm), written whole to Redis at flush times.
"""

import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import redis
from apache_beam import coders
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, SetStateSpec, TimerSpec, on_timer

from beam_pipelines.learn import LearnConfig
from beam_pipelines.learn.frames import decode_frame
from beam_pipelines.learn.job_server import JobServer
from beam_pipelines.learn.runners import runner_of
from beam_pipelines.learn.source import ReadEventLog, RedisLogOpener
from beam_pipelines.learn.times import ms_of, next_multiple, timestamp_of
from contracts import CLICK, ORIGIN, LineageSettings, decode_facts
from stores.connect import command, connect

READING = "plain:reading"
SUMS = "plain:sums"

_SHOWN, _CLICKED = 1, 2


@dataclass(frozen=True, slots=True)
class ArmSums:
    """Sums of one (category, window, arm): ``gram`` (d, d) and ``moment`` (d,) float64."""

    facts: int
    n: int
    reward: int
    gram: np.ndarray[Any, np.dtype[np.float64]]
    moment: np.ndarray[Any, np.dtype[np.float64]]

    def encode(self) -> bytes:
        """Write as bytes."""
        head = np.array([self.facts, self.n, self.reward], dtype=np.float64)
        return np.concatenate((head, self.gram.reshape(-1), self.moment)).tobytes()

    @classmethod
    def decode(cls, data: bytes | None, d: int) -> "ArmSums":
        """Read what ``encode`` wrote; zero for None."""
        if data is None:
            return cls(0, 0, 0, np.zeros((d, d)), np.zeros(d))
        values = np.frombuffer(data, dtype=np.float64)
        facts, n, reward = (int(value) for value in values[:3])
        return cls(facts, n, reward, values[3 : 3 + d * d].reshape(d, d), values[3 + d * d :])


class Events(beam.DoFn):
    """Frames to single facts that count, keyed by decision id."""

    def __init__(self, settings: LineageSettings, redis_url: str) -> None:
        self._settings = settings
        self._redis_url = redis_url

    def process(self, element: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Take a frame apart."""
        with connect(self._redis_url) as client:
            command(client, "SET", READING, 1)
        settings = self._settings
        for entry in decode_frame(element).entries:
            for fact in decode_facts(entry.blob).rows.to_pylist():
                at = fact["decision_ms"]
                window = at - at % settings.window_ms
                late = entry.append_ms >= settings.bound_ms(window)
                early = at > entry.append_ms + settings.grace_ms
                unattributed = fact["kind"] == CLICK and fact["event_ms"] - at > settings.attribution_ms
                if not (late or early or unattributed):
                    key = f"{fact['category']}/{window}/{fact['arm']}"
                    yield fact["decision_id"], {"kind": fact["kind"], "key": key, "context": fact["context"]}


class OncePerDecision(beam.DoFn):
    """Each kind of fact of a decision once, with what it changes; keyed by arm."""

    KINDS = beam.DoFn.StateParam(SetStateSpec("kinds", coders.VarIntCoder()))

    def process(
        self, element: tuple[bytes, dict[str, Any]], kinds: Any = KINDS
    ) -> Iterator[tuple[str, tuple[int, list[int]]]]:
        """Look at one fact."""
        _, fact = element
        known = set(kinds.read())
        if fact["kind"] in known:
            return
        kinds.add(fact["kind"])
        change = (0 if known else _SHOWN) | (_CLICKED if fact["kind"] == CLICK else 0)
        yield fact["key"], (change, fact["context"])


class SumByArm(beam.DoFn):
    """Adds facts up, one by one, and writes the sums at flush times."""

    SUMS = beam.DoFn.StateParam(ReadModifyWriteStateSpec("sums", coders.BytesCoder()))
    FLUSH_SPEC = TimerSpec("flush", TimeDomain.WATERMARK)
    FLUSH = beam.DoFn.TimerParam(FLUSH_SPEC)

    def __init__(self, d: int, flush_ms: int, redis_url: str) -> None:
        self._d = d
        self._flush_ms = flush_ms
        self._redis_url = redis_url
        self._client: redis.Redis | None = None

    def setup(self) -> None:
        """Connect."""
        self._client = connect(self._redis_url)

    def process(
        self,
        element: tuple[str, tuple[int, list[int]]],
        at: Any = beam.DoFn.TimestampParam,
        sums: Any = SUMS,
        flush: Any = FLUSH,
    ) -> None:
        """Add one fact."""
        _, (change, context) = element
        x = np.array(context, dtype=np.float64) / 1024
        shown, clicked = change & _SHOWN, (change & _CLICKED) >> 1
        old = ArmSums.decode(sums.read(), self._d)
        new = ArmSums(
            old.facts + 1,
            old.n + shown,
            old.reward + clicked,
            old.gram + shown * np.outer(x, x),
            old.moment + clicked * x,
        )
        sums.write(new.encode())
        flush.set(timestamp_of(next_multiple(ms_of(at), self._flush_ms)))

    @on_timer(FLUSH_SPEC)
    def flush_due(self, key: Any = beam.DoFn.KeyParam, sums: Any = SUMS) -> None:
        """Write the sums."""
        if self._client is not None:
            command(self._client, "HSET", SUMS, key, sums.read())


def published(client: redis.Redis, d: int) -> dict[str, ArmSums]:
    """What the job has written: sums by ``category/window/arm``."""
    found: dict[bytes, bytes] = command(client, "HGETALL", SUMS)
    return {key.decode(): ArmSums.decode(data, d) for key, data in found.items()}


def main() -> None:
    """Run the job told as ``LearnConfig`` on the command line, until it is killed."""
    config = LearnConfig.from_json(sys.argv[1])
    server = JobServer(runner_of(config), Path(tempfile.gettempdir()), log_level=config.log_level)
    server.start()
    pipeline = beam.Pipeline(options=PipelineOptions(server.options))
    opener = RedisLogOpener(config.redis_url, config.partitions)
    frames = pipeline | ReadEventLog(opener, (ORIGIN,) * config.partitions)
    par_do: Any = beam.ParDo
    once: Any = OncePerDecision
    _ = (
        frames
        | par_do(Events(config.settings, config.redis_url)).with_output_types(tuple[bytes, Any])
        | par_do(once()).with_output_types(tuple[str, Any])
        | par_do(SumByArm(config.settings.d, config.flush_ms, config.redis_url))
    )
    pipeline.run()
    threading.Event().wait()
