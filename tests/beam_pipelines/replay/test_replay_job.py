"""The learner's graph over a log that ends: what it stores is the replay as of that time; then it is followed."""

import dataclasses
import random
import threading
from pathlib import Path

import pytest
import redis
from apache_beam.utils.timestamp import MAX_TIMESTAMP

from beam_pipelines.learn import LearnConfig, progress_of, run
from beam_pipelines.learn.as_of import LogAsOf
from beam_pipelines.learn.config import NEVER_MS
from beam_pipelines.learn.source import PartitionReader
from beam_pipelines.learn.times import ms_of
from beam_pipelines.learn.upkeep import Upkeep
from beam_pipelines.replay import Snapshot, compare, differences_of, entries_in_order, replay
from contracts import ORIGIN, LineageError, LineageSettings, Position, keys
from stores import (
    EmbeddedRedis,
    FileObjectStore,
    LineageState,
    LineageStore,
    RedisEventLog,
    StatisticsStore,
    write_archive,
)
from stores.connect import command
from tests.beam_pipelines.facts import SCHEMA, batch, click_on, decision
from tests.beam_pipelines.processes import eventually, prism_path, start_learner

PARTITIONS = 2
SETTINGS = LineageSettings(SCHEMA, 3, window_ms=1_000, attribution_ms=2_000, grace_ms=500, shards=2)
FORGETFUL = dataclasses.replace(SETTINGS, window_ms=700, grace_ms=300, shards=3, gamma=0.9)
SPAN_MS = 12_000


def filled(client: redis.Redis, begin_ms: int) -> None:
    """A log of ``SPAN_MS``: duplicates, late facts, clicks of all delays, poison; ids are times of the past."""
    rng = random.Random(3)
    appended: list[tuple[int, int, bytes]] = []
    for seed in range(900):
        at = begin_ms + rng.randrange(SPAN_MS)
        shown = decision(at, seed, category=rng.choice(("lamps", "chairs", "rare")))
        facts = [shown, shown] if seed % 7 == 0 else [shown]
        delay = rng.choice((0, 1, 200, 900, 1_900, 2_000, 2_001, 3_200, 3_400))
        appended.append((at + rng.choice((0, 5, 1_000, 3_000, 4_500)), seed, batch(facts)))
        appended.append((at + delay + rng.choice((0, 400)), seed, batch([click_on(shown, at + delay)])))
    appended.append((begin_ms + 2_000, 0, b"no facts"))
    for number, (append_ms, partition, blob) in enumerate(sorted(appended)):
        command(client, "XADD", keys.events(partition % PARTITIONS), f"{append_ms}-{number}", "b", blob)


def cut(log: RedisEventLog, objects: FileObjectStore, at_ms: int) -> None:
    """Archive and trim what is before ``at_ms``, as two objects a partition that overlap."""
    for partition in range(PARTITIONS):
        entries = log.read(partition, ORIGIN, 10_000).entries
        older = [entry for entry in entries if entry.append_ms < at_ms]
        write_archive(objects, older[:30], after=ORIGIN)
        write_archive(objects, older[20:], after=older[19].position)
        assert log.trim(partition, Position(at_ms, 0)) > 0


def stored(store: StatisticsStore) -> Snapshot:
    return Snapshot(store.low_watermark(), {name: store.state(name) for name in store.categories()})


def interrupted(config: LearnConfig, store: StatisticsStore) -> None:
    """Run a replay and stop it as soon as it has read anything."""
    stop = threading.Event()

    def ask() -> None:
        eventually("the replay reads", lambda: bool(store.tally()))
        stop.set()

    asking = threading.Thread(target=ask)
    asking.start()
    run(config, stop)
    asking.join()


def test_a_log_as_of_a_time_ends_there(redis_client: redis.Redis) -> None:
    for at_ms in (100, 200, 300):
        command(redis_client, "XADD", keys.events(0), f"{at_ms}-0", "b", b"x")
    live = RedisEventLog(redis_client, 1)
    for until_ms, held in ((100, []), (101, [100]), (300, [100, 200]), (301, [100, 200, 300])):
        log = LogAsOf(live, until_ms)
        read = log.read(0, ORIGIN, 10)
        assert [entry.append_ms for entry in read.entries] == held
        # Where all that was found is of that time, only the next read tells whether there is more.
        assert (read.log_ms == NEVER_MS) is (until_ms <= 300)
        last = log.read(0, Position(until_ms - 1, 9), 10)
        assert (last.entries, last.log_ms) == ((), NEVER_MS)
    reader = PartitionReader(LogAsOf(live, 300), 0, ORIGIN, 10)
    assert reader.advance()
    assert ms_of(reader.get_watermark()) == 200
    assert not reader.advance()
    # By this Beam knows that the source has ended.
    assert reader.get_watermark() >= MAX_TIMESTAMP
    # What has not happened yet is waited for.
    assert LogAsOf(live, live.clock_ms() + 60_000).read(0, Position(300, 0), 10).log_ms <= live.clock_ms()


@pytest.mark.slow
def test_a_replay_is_the_replay_as_of_its_time_and_is_then_followed(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    prism = prism_path()
    log, objects, lineages = (
        RedisEventLog(redis_client, PARTITIONS),
        FileObjectStore(tmp_path),
        LineageStore(redis_client),
    )
    begin_ms = (log.clock_ms() - 60_000) // 7_000 * 7_000
    filled(redis_client, begin_ms)
    cut(log, objects, begin_ms + SPAN_MS // 3)
    config = LearnConfig(
        redis_server.url,
        "plain",
        SETTINGS,
        prism,
        partitions=PARTITIONS,
        flush_ms=200,
        archive_uri=str(tmp_path),
        status_interval_s=0.1,
        log_level="ERROR",
    )
    # One time at which a window would close within the stages' delays, but must not; one at which one must.
    windows = {"plain": (SETTINGS, begin_ms + 5_000), "forgetful": (FORGETFUL, begin_ms + 4_900)}
    for name, (settings, window) in windows.items():
        until_ms = settings.bound_ms(window) - (name == "plain")
        store = StatisticsStore(redis_client, name)
        replaying = dataclasses.replace(config, lineage=name, settings=settings, until_ms=until_ms)
        if name == "forgetful":
            interrupted(replaying, store)
            assert lineages.states()[name] in {LineageState.REPLAYING, LineageState.FOLLOWING}
        if lineages.states().get(name) is not LineageState.FOLLOWING:
            run(replaying)
        assert lineages.states()[name] is LineageState.FOLLOWING
        found = stored(store)
        assert found.watermark_ms == until_ms
        expected = replay(entries_in_order(log, objects), settings, lineage=name, watermark_ms=until_ms)
        assert list(differences_of(found, expected)) == []
        closed = {state.through for state in found.categories.values()}
        assert max(closed) == window - settings.window_ms * (name == "plain")
        assert all(state.deltas for state in found.categories.values())
        assert store.tally()["late"] > 0 and store.tally()["unattributed"] > 0
        with pytest.raises(LineageError, match="exists and is following"):
            run(replaying)
    assert lineages.active() is None

    follower = start_learner(dataclasses.replace(config, archive_ms=500, trim_interval_s=0.2))
    try:
        store = StatisticsStore(redis_client, "plain")
        eventually("the follower catches up", lambda: progress_of(store, log).caught_up)
        assert lineages.states() == {"forgetful": LineageState.FOLLOWING, "plain": LineageState.ACTIVE}
        # Nobody follows it, and it holds the log from where it would go on.
        held = Position(lineages.all()[0].restart_ms, 0)
        assert all(log.trimmed(partition) <= held for partition in range(PARTITIONS))
        lineages.retire("forgetful")
        eventually(
            "the follower archives and trims what it would not read again",
            lambda: all(log.trimmed(partition) > Position(begin_ms + 10_000, 0) for partition in range(PARTITIONS)),
        )
        outcome = compare(store, log, objects)
        assert outcome.differences == ()
        assert outcome.windows_closed > 10
        eventually("the learner says what it trimmed", lambda: int(store.status()["trimmed_entries"]) > 100)
    finally:
        follower.terminate()
        assert follower.wait(30) == 0
    with pytest.raises(LineageError, match="'forgetful' is retired"):
        run(dataclasses.replace(config, lineage="forgetful", settings=FORGETFUL))


def test_a_learner_notices_that_its_lineage_is_given_up(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    config = LearnConfig(redis_server.url, "plain", SETTINGS, "prism", archive_uri=str(tmp_path))
    for name in ("main", "plain"):
        StatisticsStore(redis_client, name).begin(SETTINGS)
    upkeep = Upkeep(config)
    assert not upkeep.retired()
    LineageStore(redis_client).retire("plain")
    assert upkeep.retired()
