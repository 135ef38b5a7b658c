"""User activity in the learner's real graph, whatever the runner does: rows online and for training."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipelines.learn import ActivityConfig, LearnConfig
from contracts import ActivityRules, Fact, LineageSettings, SettingsError, WritePlan
from stores.embedded import EmbeddedRedis
from stores.lineages import LineageState, LineageStore
from stores.objects import FileObjectStore
from stores.statistics import StatisticsStore
from tests.beam_pipelines.activity_oracle import PLAN, Appended, counting, latest, put_by, rows_until, stored_rows
from tests.beam_pipelines.facts import LINEAGE, SCHEMA, T0, batch, changed, click_on, decision, settings_of
from tests.beam_pipelines.histories import batches, histories
from tests.beam_pipelines.learn.test_stream_laws import CIRCUMSTANCES, Circumstances, World
from tests.beam_pipelines.memory_log import MemoryLog
from tests.stores.feast_bytes import PLAN as OTHER_PLAN

BEGIN_MS = T0 - 20_000


@st.composite
def shared_histories(draw: st.DrawFn) -> list[tuple[int, Fact]]:
    """Histories of facts of which few users have many."""
    appended = draw(histories())
    return [(at, changed(fact, user=f"user-{fact.generation % 3}")) for at, fact in appended]


def check(
    world: World, client: redis.Redis, objects: FileObjectStore, appended: Appended, rules: ActivityRules
) -> None:
    world.rest()
    expected = rows_until(counting(appended, world.settings), world.log.log_ms, rules)
    users = {fact.user for _, fact in appended}
    assert stored_rows(client, PLAN, users) == latest(expected)
    ended_ms = world.log.log_ms // rules.bucket_ms * rules.bucket_ms
    assert put_by(objects) == [row for row in expected if row[0] <= ended_ms]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shared_histories(), CIRCUMSTANCES)
def test_rows_are_the_oracles_through_failures_crashes_and_two_learners(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, appended: list[tuple[int, Fact]], chosen: Circumstances
) -> None:
    rng = random.Random(chosen.seed)
    lineage_settings = settings_of(shards=chosen.shards)
    flush_ms = rng.choice((500, 1_000, 4_000))
    rules = ActivityRules.of(lineage_settings, flush_ms)
    with TemporaryDirectory() as folder:
        config = ActivityConfig(PLAN.to_json().decode(), folder, flush_ms)
        log = MemoryLog(chosen.partitions)
        world = World(redis_server.url, redis_client, lineage_settings, log, rng, activity=config)
        log.log_ms = BEGIN_MS
        world.start(fail_share=chosen.fail_share)
        for append_ms, facts in batches(appended, chosen.rows):
            world.pass_time(append_ms)
            log.append(rng.randrange(chosen.partitions), [batch(facts)])
            world.work()
            if rng.random() < chosen.crash_share:
                world.crash(rng.randint(0, 1))
                if rng.random() < 0.8:
                    world.start(fail_share=chosen.fail_share)
        if not world.learners:
            world.start(fail_share=chosen.fail_share)
        world.pass_time(log.log_ms + rng.choice((1, 7_000, 60_000)))
        check(world, redis_client, FileObjectStore(Path(folder)), appended, rules)
        world.crash(0)


@pytest.fixture
def world(redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path) -> World:
    """Buckets of 10 s, two closed ones are summed; log time begins with the first."""
    config = ActivityConfig(PLAN.to_json().decode(), str(tmp_path), 1_000)
    found = World(redis_server.url, redis_client, settings_of(), MemoryLog(2), random.Random(1), activity=config)
    found.log.log_ms = T0
    found.start()
    return found


def shown_by(user: str, at_ms: int, seed: int) -> Fact:
    return changed(decision(at_ms, seed), user=user)


def test_a_visit_is_seen_within_a_flush_and_forgotten_with_its_bucket(world: World, redis_client: redis.Redis) -> None:
    shown = shown_by("ann", T0 + 1_000, 1)
    world.log.log_ms = T0 + 1_200
    world.log.append(0, [batch([shown])])
    world.log.log_ms = T0 + 2_500
    world.log.append(1, [batch([click_on(shown, T0 + 2_400), shown])])

    def seen_at(log_ms: int) -> tuple[int, str, int, int]:
        world.log.log_ms = log_ms
        world.learners[0].settle()
        return stored_rows(redis_client, PLAN, ["ann"])["ann"]

    assert seen_at(T0 + 2_900) == (T0 + 2_000, "ann", 1, 0)
    assert seen_at(T0 + 3_000) == (T0 + 3_000, "ann", 1, 1)
    assert seen_at(T0 + 9_999) == (T0 + 3_000, "ann", 1, 1)
    assert seen_at(T0 + 10_000) == (T0 + 10_000, "ann", 1, 1)
    assert seen_at(T0 + 29_999) == (T0 + 20_000, "ann", 1, 1)
    assert seen_at(T0 + 30_000) == (T0 + 30_000, "ann", 0, 0)
    assert seen_at(T0 + 99_000) == (T0 + 30_000, "ann", 0, 0)
    # The low watermark has the one key "".
    kept = [key for stage in world.learners[0].stages for key in (*stage.cells, *stage.timers) if key]
    assert kept == [], "nothing of who left is kept"


def test_only_the_learner_of_the_lineage_served_publishes(
    world: World, redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    """Another lineage, whose facts are others, is promoted in the middle: from its next bucket's end on all is its."""
    lineages, rules = LineageStore(redis_client), ActivityRules.of(world.settings, 1_000)
    appended: list[tuple[int, Fact]] = []
    other = StatisticsStore(redis_client, "other")
    other.begin(LineageSettings(SCHEMA, 3, window_ms=10_000, attribution_ms=20_000, grace_ms=4_999, shards=2))
    assert lineages.states() == {LINEAGE: LineageState.ACTIVE, "other": LineageState.FOLLOWING}

    def visit(at_ms: int) -> None:
        world.log.log_ms = at_ms + 1
        fact = shown_by("ann", at_ms, at_ms)
        appended.append((at_ms + 1, fact))
        world.log.append(0, [batch([fact])])
        world.log.log_ms = at_ms + 1_500
        world.learners[0].settle()

    visit(T0 + 1_000)
    served = latest(rows_until(appended, world.log.log_ms, rules))
    assert stored_rows(redis_client, PLAN, ["ann"]) == served
    lineages.promote("other")
    visit(T0 + 12_000)
    assert stored_rows(redis_client, PLAN, ["ann"]) == served, "the other's learner would publish now"
    assert put_by(FileObjectStore(tmp_path)) == []
    lineages.rollback()
    visit(T0 + 14_000)
    assert stored_rows(redis_client, PLAN, ["ann"]) == latest(rows_until(appended, world.log.log_ms, rules))


@pytest.mark.parametrize(
    ("plan", "flush_ms"), [(PLAN, 0), (WritePlan(OTHER_PLAN), 1_000)], ids=["flush", "no such view"]
)
def test_a_plan_that_does_not_fit_is_refused(plan: WritePlan, flush_ms: int) -> None:
    with pytest.raises(SettingsError, match=r"view 'user_activity' .* set learn\.activity = false"):
        ActivityConfig(plan.to_json().decode(), "objects", flush_ms)


def test_settings_travel_to_the_worker() -> None:
    activity = ActivityConfig(PLAN.to_json().decode(), "objects", 700)
    config = LearnConfig("redis://x", LINEAGE, settings_of(), "prism", activity=activity)
    assert LearnConfig.from_json(config.to_json()) == config
