"""Laws of the stream: stream = replay = naive oracle, bit for bit, whatever the runner and the world do."""

import dataclasses
import gc
import heapq
import random
import tracemalloc
from dataclasses import dataclass

import numpy as np
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipelines.learn import ActivityConfig, LearnConfig, progress_of
from beam_pipelines.learn.positions import start_of
from beam_pipelines.replay import Snapshot, differences_of, replay
from contracts import Fact, LineageSettings, Position
from stores.connect import command
from stores.embedded import EmbeddedRedis
from stores.statistics import StatisticsStore
from tests.beam_pipelines.facts import LINEAGE, T0, batch, click_on, decision, settings_of
from tests.beam_pipelines.histories import WATERMARKS, batches, histories
from tests.beam_pipelines.memory_log import MemoryLog
from tests.beam_pipelines.oracle import assert_equals_oracle, naive
from tests.beam_pipelines.stream import Stream

BEGIN_MS = T0 - 100_000


class World:
    """A log that fills, a store, and up to two learners that come and go."""

    def __init__(
        self,
        url: str,
        client: redis.Redis,
        lineage_settings: LineageSettings,
        log: MemoryLog,
        rng: random.Random,
        *,
        activity: ActivityConfig | None = None,
    ) -> None:
        command(client, "FLUSHALL")
        self.settings = lineage_settings
        self.log = log
        self.store = StatisticsStore(client, LINEAGE)
        self.store.begin(lineage_settings)
        self.learners: list[Stream] = []
        self._rng = rng
        dataset = self.store.dataset()
        assert dataset is not None
        self._dataset = dataset
        self._config = LearnConfig(
            url,
            LINEAGE,
            lineage_settings,
            "unused",
            partitions=log.partitions,
            flush_ms=rng.choice((500, 3_000)),
            activity=activity,
        )

    def start(self, *, fail_share: float = 0.0) -> None:
        """A new learner begins at the stored low watermark, with no state."""
        begin = start_of(self.store, self.log, self.settings, None)
        self.learners.append(Stream(self._config, self._dataset, self.log, begin, self._rng, fail_share=fail_share))

    def crash(self, survivors: int) -> None:
        """All learners but the first ``survivors`` end, and what they held is lost."""
        for learner in self.learners[survivors:]:
            learner.close()
        del self.learners[survivors:]

    def pass_time(self, log_ms: int) -> None:
        """The log's clock goes on; learners work meanwhile, in part."""
        while self.log.log_ms < log_ms:
            self.log.log_ms = min(log_ms, self.log.log_ms + self._rng.choice((1, 700, 5_000, 40_000)))
            self.work()

    def work(self) -> None:
        """Learners do some of what there is to do."""
        for _ in range(self._rng.randint(0, 6) if self.learners else 0):
            self._rng.choice(self.learners).step()

    def rest(self) -> Snapshot:
        """Let the learners finish, and the clock go on until what is stored is as of one watermark."""
        for _ in range(20):
            for learner in self.learners:
                learner.settle()
            progress = progress_of(self.store, self.log)
            if progress.newest_ms == 0:
                return Snapshot(progress.log_ms, {})
            states = {name: self.store.state(name) for name in self.store.categories()}
            open_from = self.settings.first_open_window(progress.low_watermark_ms)
            if progress.caught_up and all(state.through < open_from for state in states.values()):
                return Snapshot(progress.low_watermark_ms, states)
            self.log.log_ms += self._rng.choice((1, 2, 3_000))
        raise AssertionError(progress)

    def check(self, appended: list[tuple[int, Fact]]) -> None:
        """Compare what is stored with the replay of the log and with the oracle on what was appended."""
        stored = self.rest()
        entries = list(heapq.merge(*self.log.held, key=lambda entry: entry.append_ms))
        replayed = replay(entries, self.settings, lineage=LINEAGE, watermark_ms=stored.watermark_ms)
        assert list(differences_of(stored, replayed)) == []
        assert_equals_oracle(replayed, naive(appended, self.settings, stored.watermark_ms))
        assert self.store.tally() == replayed.tally
        assert sum(found.total for found in self.store.facts().values()) == replayed.facts


@dataclass(frozen=True)
class Circumstances:
    """What must not matter: how batches and partitions are cut, what the runner does (``seed``), what fails."""

    partitions: int
    shards: int
    gamma: float
    rows: int
    fail_share: float
    crash_share: float
    seed: int


CIRCUMSTANCES = st.builds(
    Circumstances,
    partitions=st.integers(1, 3),
    shards=st.integers(1, 3),
    gamma=st.sampled_from((1.0, 0.9)),
    rows=st.integers(1, 7),
    fail_share=st.sampled_from((0.0, 0.2)),
    crash_share=st.sampled_from((0.0, 0.15)),
    seed=st.integers(0, 1 << 32),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), WATERMARKS, CIRCUMSTANCES)
def test_stream_equals_replay_and_oracle(
    redis_client: redis.Redis,
    redis_server: EmbeddedRedis,
    appended: list[tuple[int, Fact]],
    until_ms: int,
    chosen: Circumstances,
) -> None:
    rng = random.Random(chosen.seed)
    lineage_settings = settings_of(shards=chosen.shards, gamma=chosen.gamma)
    world = World(redis_server.url, redis_client, lineage_settings, MemoryLog(chosen.partitions), rng)
    world.log.log_ms = BEGIN_MS
    world.start(fail_share=chosen.fail_share)
    for append_ms, facts in batches(appended, chosen.rows):
        if append_ms >= until_ms:
            break
        world.pass_time(append_ms)
        world.log.append(rng.randrange(chosen.partitions), [batch(facts)])
        world.work()
        if rng.random() < chosen.crash_share:
            # Killed, started, started beside another one; or nobody learns for a while.
            world.crash(rng.randint(0, 1))
            if rng.random() < 0.8:
                world.start(fail_share=chosen.fail_share)
    if not world.learners:
        world.start(fail_share=chosen.fail_share)
    world.pass_time(until_ms)
    world.check([(append_ms, fact) for append_ms, fact in appended if append_ms < until_ms])
    world.crash(0)


def test_an_hour_of_event_time_leaves_nothing_behind(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    minute_ms, step_ms = 60_000, 30_000
    hour = dataclasses.replace(settings_of(), window_ms=minute_ms, attribution_ms=2 * minute_ms, grace_ms=step_ms)
    world = World(redis_server.url, redis_client, hour, MemoryLog(2), random.Random(1))
    world.log.log_ms = T0
    world.start()
    (learner,) = world.learners
    held: list[tuple[int, int, int]] = []
    memory: list[int] = []
    for at in range(T0, T0 + 60 * minute_ms, step_ms):
        # The same happens in each minute, so that all that lasts is what grows.
        shown = [decision(at, number, category=("lamps", "chairs")[number % 2]) for number in range(4)]
        clicks = [click_on(decision(at - 2 * step_ms, number, category="lamps"), at) for number in (0, 2)]
        world.log.log_ms = at + 1
        world.log.append(at // step_ms % 2, [batch([*shown, *clicks, *shown[:2]])])
        learner.settle()
        for partition in range(2):
            world.log.trim(partition, Position(max(0, world.settings.restart_ms(world.store.low_watermark())), 0))
        if at == T0 + 30 * minute_ms:
            tracemalloc.start()
        if (at - T0) % minute_ms == 0:
            held.append(learner.held())
        if at - T0 in (40 * minute_ms, 59 * minute_ms):
            gc.collect()
            memory.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    world.crash(0)
    assert sum(found.total for found in world.store.facts().values()) > 700
    # State cells, timers, elements that wait: no more in the second half than in the first.
    first, second = (np.array(half).max(axis=0).tolist() for half in (held[:30], held[30:]))
    assert all(now <= before for now, before in zip(second, first, strict=True))
    assert memory[1] - memory[0] < 32 * 1024
