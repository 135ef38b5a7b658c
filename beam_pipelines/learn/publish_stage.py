"""PublishModel and StoreLowWatermark as stages (design, ideas 7 and 8)."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import redis
from apache_beam import coders
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.shared import Shared

from beam_pipelines.learn.config import NEVER_MS
from beam_pipelines.learn.frames import decode_frame
from beam_pipelines.learn.publication import Publication
from beam_pipelines.learn.publisher import Publisher
from beam_pipelines.learn.steering import Steering
from beam_pipelines.learn.times import (
    LOW_WATERMARK_DELAY_MS,
    PUBLISH_DELAY_MS,
    ms_of,
    next_multiple,
    timestamp_of,
)
from contracts import LineageSettings
from learner import ModelSettings
from stores.connect import connect
from stores.dataset import Dataset
from stores.policy_store import PolicyStore
from stores.statistics import StatisticsStore

ONE_KEY = b""

_NOT_ARMED = -1


class PublishModel(beam.DoFn):
    """Publications by category into Redis; emits (one key, bound) for each final.

    Deltas are written at the end of a bundle or before a timer acts, whichever comes first. The timer stands at
    the earliest time due and is never moved back behind it.
    """

    FINALS = beam.DoFn.StateParam(BagStateSpec("finals", coders.BytesCoder()))
    ARMED = beam.DoFn.StateParam(ReadModifyWriteStateSpec("armed", coders.VarIntCoder()))
    PUBLISH_SPEC = TimerSpec("publish", TimeDomain.WATERMARK)
    PUBLISH = beam.DoFn.TimerParam(PUBLISH_SPEC)

    def __init__(
        self, settings: LineageSettings, lineage: str, redis_url: str, *, dataset: Dataset, model: ModelSettings
    ) -> None:
        self._settings = settings
        self._lineage = lineage
        self._redis_url = redis_url
        self._dataset = dataset
        self._model = model
        shared: Any = Shared
        self._shared = shared()
        self._publisher: Publisher | None = None
        self._waiting: dict[str, list[Publication]] = {}

    def setup(self) -> None:
        """Connect, once a process: what was last read of a category is kept once, whoever publishes it next."""
        self._publisher = self._shared.acquire(self._connected)

    def _connected(self) -> Publisher:
        client = connect(self._redis_url)
        store = StatisticsStore(client, self._lineage, dataset=self._dataset)
        steering = Steering(PolicyStore(client), store)
        return Publisher(store, self._settings, model=self._model, inputs_of=steering.inputs)

    def start_bundle(self) -> None:
        """Begin with nothing waiting: what a failed bundle left behind comes again."""
        self._waiting = defaultdict(list)

    def process(
        self,
        element: tuple[str, bytes],
        finals: Any = FINALS,
        armed: Any = ARMED,
        publish: Any = PUBLISH,
    ) -> Iterator[tuple[bytes, int]]:
        """Take one publication."""
        category, data = element
        found = Publication.decode(data)
        self._waiting[category].append(found)
        due = found.due_ms + PUBLISH_DELAY_MS
        current = _armed(armed)
        if current == _NOT_ARMED or due < current:
            publish.set(timestamp_of(due))
            armed.write(due)
        if found.final:
            finals.add(data)
            yield ONE_KEY, found.due_ms

    @on_timer(PUBLISH_SPEC)
    def publish_due(
        self,
        key: Any = beam.DoFn.KeyParam,
        at: Any = beam.DoFn.TimestampParam,
        finals: Any = FINALS,
        armed: Any = ARMED,
        publish: Any = PUBLISH,
    ) -> None:
        """Close what is due and publish the category's pack."""
        self._write()
        publisher = self._open()
        now_ms = ms_of(at)
        kept: list[tuple[int, bytes]] = []
        due: list[Publication] = []
        for data in finals.read():
            found = Publication.decode(data)
            if found.due_ms + PUBLISH_DELAY_MS <= now_ms:
                due.append(found)
            else:
                kept.append((found.due_ms + PUBLISH_DELAY_MS, data))
        if due:
            publisher.close(key, due)
            finals.clear()
            for _, data in kept:
                finals.add(data)
        publisher.publish_pack(key)
        if kept:
            following = min(kept)[0]
            publish.set(timestamp_of(following))
            armed.write(following)
        else:
            armed.clear()

    def finish_bundle(self) -> None:
        """Write what waits."""
        self._write()

    def _write(self) -> None:
        publisher = self._open()
        for category, publications in self._waiting.items():
            publisher.put(category, publications)
        self._waiting = defaultdict(list)

    def _open(self) -> Publisher:
        if self._publisher is None:
            message = "PublishModel was used before setup"
            raise RuntimeError(message)
        return self._publisher


class StoreLowWatermark(beam.DoFn):
    """Stores, under a single key, the log time up to which all earlier stages are done; it only rises.

    That is a flush time: what was appended since the last one waits for the next, also behind a window's bound. Only in
    the dataset that they wrote to: another one may have lost their last writes.
    """

    ARMED = beam.DoFn.StateParam(ReadModifyWriteStateSpec("armed", coders.VarIntCoder()))
    LATEST = beam.DoFn.StateParam(ReadModifyWriteStateSpec("latest", coders.VarIntCoder()))
    STORE_SPEC = TimerSpec("store", TimeDomain.WATERMARK)
    STORE = beam.DoFn.TimerParam(STORE_SPEC)

    def __init__(
        self, lineage: str, redis_url: str, flush_ms: int, *, dataset: Dataset, until_ms: int = NEVER_MS
    ) -> None:
        self._lineage = lineage
        self._redis_url = redis_url
        self._flush_ms = flush_ms
        self._dataset = dataset
        self._until_ms = until_ms
        self._client: redis.Redis | None = None
        self._store: StatisticsStore | None = None

    def setup(self) -> None:
        """Connect."""
        self._client = connect(self._redis_url)
        self._store = StatisticsStore(self._client, self._lineage, dataset=self._dataset)

    def teardown(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()

    def process(
        self,
        element: tuple[bytes, int],
        armed: Any = ARMED,
        latest: Any = LATEST,
        store: Any = STORE,
    ) -> None:
        """Note a time (ms) that will have to be stored once it has passed."""
        due = min(next_multiple(element[1] - 1, self._flush_ms), self._until_ms) + LOW_WATERMARK_DELAY_MS
        latest.write(max(due, _armed(latest)))
        current = _armed(armed)
        if current == _NOT_ARMED or due < current:
            store.set(timestamp_of(due))
            armed.write(due)

    @on_timer(STORE_SPEC)
    def store_passed(
        self,
        at: Any = beam.DoFn.TimestampParam,
        armed: Any = ARMED,
        latest: Any = LATEST,
        store: Any = STORE,
    ) -> None:
        """Store the time that has passed."""
        now_ms = ms_of(at)
        if self._store is not None:
            self._store.raise_low_watermark(now_ms - LOW_WATERMARK_DELAY_MS)
        following = _armed(latest)
        if following > now_ms:
            store.set(timestamp_of(following))
            armed.write(following)
        else:
            armed.clear()


class Tick(beam.DoFn):
    """From each frame, under a single key, the flush time behind its newest entry (ms).

    So the low watermark also rises over entries in which nothing counts.
    """

    def __init__(self, flush_ms: int, *, until_ms: int = NEVER_MS) -> None:
        self._flush_ms = flush_ms
        self._until_ms = until_ms

    def process(self, element: bytes, at: Any = beam.DoFn.TimestampParam) -> Iterator[TimestampedValue[Any]]:
        """Emit one time."""
        newest = decode_frame(element).entries[-1].append_ms
        yield TimestampedValue((ONE_KEY, min(next_multiple(newest, self._flush_ms), self._until_ms)), at)


def _armed(cell: Any) -> int:
    value = cell.read()
    return _NOT_ARMED if value is None else int(value)
