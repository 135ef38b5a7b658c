"""RouteActivity and PublishActivity: the branch that publishes recent user activity online and for training."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import redis
from apache_beam import coders
from apache_beam.metrics.metric import Metrics
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.utils.shared import Shared

from beam_pipelines.learn.activity import ActivityRows, ActivityState, Settled, buckets_of, due_of, restore, settle
from beam_pipelines.learn.activity_facts import ActivityFacts
from beam_pipelines.learn.config import ActivityConfig
from beam_pipelines.learn.decode_stage import NAMESPACE
from beam_pipelines.learn.held import Held
from beam_pipelines.learn.times import ms_of, timestamp_of
from contracts import ACTIVITY_VIEW, ActivityRules, LineageSettings, WritePlan
from stores.activity import write_activity
from stores.connect import connect
from stores.lineages import LineageStore
from stores.objects import ObjectStore, open_objects
from stores.online_writer import OnlineWriter
from stores.statistics import StatisticsStore

_KEY_BYTES = 4


class RouteActivity(beam.DoFn):
    """Columns of counting facts to chunks, keyed by user shard."""

    def __init__(self, shards: int) -> None:
        self._shards = shards

    def process(self, element: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Split."""
        for shard, facts in ActivityFacts.decode(element).by_shard(self._shards).items():
            yield shard.to_bytes(_KEY_BYTES, "big"), facts.encode()


@dataclass(frozen=True, slots=True)
class _Cells:
    """The state cells of one key, as Beam hands them to a call."""

    token: Any
    settled: Any
    facts: Any
    waiting: Any


class ActivityStore:
    """Where rows go. Only those behind the low watermark that was stored at the start: the others are out already.

    Rows go out while their lineage is the one served. Another one's facts may be others, and a row has one place.
    """

    def __init__(self, client: redis.Redis, lineage: str, config: ActivityConfig) -> None:
        """Write to ``client`` and to the object store of ``config``."""
        self._lineage = lineage
        self._lineages = LineageStore(client)
        self._writer = OnlineWriter(WritePlan.from_json(config.plan.encode()), ACTIVITY_VIEW, client)
        self._objects: ObjectStore = open_objects(config.objects_uri)
        self._low_ms = StatisticsStore(client, lineage).low_watermark()

    def put(self, shard: int, done: Settled) -> dict[str, int]:
        """Write what settling made; returns how many rows were put, newer online, or not this lineage's to write."""
        rows = done.rows.behind(self._low_ms).latest()
        closed = {end: found for end, found in done.closed.items() if end > self._low_ms}
        if not len(rows) and not closed:
            return {}
        if self._lineages.active() != self._lineage:
            return {"activity_not_active": len(rows)}
        written = self._write(rows)
        for end, found in closed.items():
            write_activity(self._objects, found.table(), bucket_end_ms=end, shard=shard)
        return written

    def _write(self, rows: ActivityRows) -> dict[str, int]:
        done = self._writer.write(
            rows.users.to_pylist(),
            (rows.at_ms * 1000).tolist(),
            {
                "recent_impressions": rows.shown.tolist(),
                "recent_clicks": rows.clicked.tolist(),
                "recent_ctr": rows.ctr.tolist(),
            },
        )
        return {"activity_put": done.put, "activity_newer": done.newer}


class PublishActivity(beam.DoFn):
    """Counts by user shard; writes rows when they are due (``activity.settle``).

    It emits nothing, but its timers hold the low watermark back until the rows are out. All rows are a function of the
    log and of log time: copies of the stage, a retried bundle and other learners write the same. Timers stand on the
    watermark, one for each time: at the last due time of a chunk, and at the end of the bucket in which it begins;
    from there on from bucket's end to bucket's end while there is something to sum.
    """

    TOKEN = beam.DoFn.StateParam(ReadModifyWriteStateSpec("token", coders.BytesCoder()))
    SETTLED = beam.DoFn.StateParam(ReadModifyWriteStateSpec("settled", coders.VarIntCoder()))
    FACTS = beam.DoFn.StateParam(BagStateSpec("facts", coders.BytesCoder()))
    WAITING = beam.DoFn.StateParam(BagStateSpec("waiting", coders.BytesCoder()))
    DUE_SPEC = TimerSpec("due", TimeDomain.WATERMARK)
    DUE = beam.DoFn.TimerParam(DUE_SPEC)

    def __init__(self, settings: LineageSettings, lineage: str, redis_url: str, config: ActivityConfig) -> None:
        self._rules = ActivityRules.of(settings, config.flush_ms)
        self._lineage = lineage
        self._redis_url = redis_url
        self._config = config
        shared: Any = Shared
        self._shared_states, self._shared_store = shared(), shared()
        self._held: Held[ActivityState] | None = None
        self._store: ActivityStore | None = None

    def setup(self) -> None:
        """Connect, and hold what the process's other copies of the stage hold."""
        self._held = self._shared_states.acquire(Held)
        self._store = self._shared_store.acquire(self._connected)

    def _connected(self) -> ActivityStore:
        return ActivityStore(connect(self._redis_url), self._lineage, self._config)

    def process(self, element: tuple[bytes, bytes], waiting: Any = WAITING, due: Any = DUE) -> None:
        """Put one chunk aside until it is due."""
        _, data = element
        waiting.add(data)
        append_ms = ActivityFacts.decode(data).append_ms
        self._arm(due, int(due_of(append_ms, self._rules).max()))
        self._arm(due, self._rules.bucket_end(int(append_ms.min())))

    @on_timer(DUE_SPEC)
    def settle_due(
        self,
        key: Any = beam.DoFn.KeyParam,
        at: Any = beam.DoFn.TimestampParam,
        token: Any = TOKEN,
        settled: Any = SETTLED,
        facts: Any = FACTS,
        waiting: Any = WAITING,
        due: Any = DUE,
    ) -> None:
        """Make the rows due and write them."""
        cells, now_ms = _Cells(token, settled, facts, waiting), ms_of(at)
        known, chunks = token.read(), list(waiting.read())
        if known is None and not chunks:
            return
        held, store = self._open()
        before = self._load(held, key, known, cells)
        done = settle(
            before, ActivityFacts.concatenate([ActivityFacts.decode(data) for data in chunks]), now_ms, self._rules
        )
        for name, count in store.put(int.from_bytes(key, "big"), done).items():
            counter: Any = Metrics.counter(NAMESPACE, name)
            counter.inc(count)
        if done.state.empty and not len(done.waiting):
            for cell in (token, settled, facts, waiting):
                cell.clear()
            held.drop(lambda other: other == key)
            return
        self._keep(cells, before, done)
        token.write(held.put(key, done.state))
        self._arm(due, self._rules.bucket_end(now_ms))

    def _keep(self, cells: _Cells, before: ActivityState, done: Settled) -> None:
        now_ms = done.state.settled_ms
        if self._rules.bucket_end(before.settled_ms) <= now_ms:
            # With a bucket of log time goes what rows no longer sum.
            facts = ActivityFacts.concatenate([*map(ActivityFacts.decode, cells.facts.read()), done.counted])
            kept = facts.take(buckets_of(facts, self._rules) >= self._rules.oldest(now_ms))
            cells.facts.clear()
            cells.facts.add(kept.encode())
        elif len(done.counted):
            cells.facts.add(done.counted.encode())
        cells.waiting.clear()
        if len(done.waiting):
            cells.waiting.add(done.waiting.encode())
        cells.settled.write(now_ms)

    def _load(self, held: Held[ActivityState], key: bytes, token: bytes | None, cells: _Cells) -> ActivityState:
        if token is None:
            return ActivityState()
        found = held.get(key, token)
        if found is not None:
            return found
        facts = ActivityFacts.concatenate([ActivityFacts.decode(data) for data in cells.facts.read()])
        return restore(facts, cells.settled.read(), self._rules)

    def _arm(self, due: Any, at_ms: int) -> None:
        due.set(timestamp_of(at_ms), dynamic_timer_tag=str(at_ms))

    def _open(self) -> tuple[Held[ActivityState], ActivityStore]:
        if self._held is None or self._store is None:
            message = "PublishActivity was used before setup"
            raise RuntimeError(message)
        return self._held, self._store
