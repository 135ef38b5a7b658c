"""The registry of lineages on a real Redis: who is served, who is kept, and what a trim may take."""

import dataclasses
from pathlib import Path

import pytest
import redis

from contracts import ORIGIN, LineageError, LineageSettings, LogEntry, Position, SettingsError, keys
from stores import (
    FileObjectStore,
    Lineage,
    LineageState,
    LineageStore,
    RedisEventLog,
    StatisticsStore,
    Trimmed,
    Trimmer,
    write_archive,
)
from stores.connect import command

SETTINGS = LineageSettings("feedfacefeedface", 3, window_ms=1_000, attribution_ms=2_000, grace_ms=500)
OTHER = dataclasses.replace(SETTINGS, gamma=0.9)
FOLLOWING, ACTIVE, PREVIOUS = LineageState.FOLLOWING, LineageState.ACTIVE, LineageState.PREVIOUS
REPLAYING, RETIRED = LineageState.REPLAYING, LineageState.RETIRED


@pytest.fixture
def lineages(redis_client: redis.Redis) -> LineageStore:
    """Lineages ``main``, served, and ``new``, followed."""
    StatisticsStore(redis_client, "main").begin(SETTINGS)
    StatisticsStore(redis_client, "new").begin(OTHER)
    return LineageStore(redis_client)


def test_the_first_lineage_is_served_and_others_are_followed(lineages: LineageStore, redis_client: redis.Redis) -> None:
    StatisticsStore(redis_client, "main").raise_low_watermark(5_000)
    assert lineages.active() == "main"
    assert lineages.all() == (Lineage("main", ACTIVE, SETTINGS, 5_000), Lineage("new", FOLLOWING, OTHER, -1))
    assert [found.restart_ms for found in lineages.all()] == [1_000, 0]


def test_promotion_rollback_and_promotion_again(lineages: LineageStore) -> None:
    assert lineages.promote("new") == "main"
    assert (lineages.active(), lineages.states()) == ("new", {"main": PREVIOUS, "new": ACTIVE})
    assert lineages.rollback() == ("main", "new")
    assert (lineages.active(), lineages.states()) == ("main", {"main": ACTIVE, "new": FOLLOWING})
    assert lineages.promote("new") == "main"
    assert lineages.confirm() == "main"
    assert (lineages.active(), lineages.states()) == ("new", {"main": RETIRED, "new": ACTIVE})
    told = [(move.lineage, move.before, move.after, move.why) for move in lineages.history()]
    assert told == [
        ("new", FOLLOWING, ACTIVE, "promote"),
        ("main", ACTIVE, PREVIOUS, "promote"),
        ("main", PREVIOUS, ACTIVE, "rollback"),
        ("new", ACTIVE, FOLLOWING, "rollback"),
        ("new", FOLLOWING, ACTIVE, "promote"),
        ("main", ACTIVE, PREVIOUS, "promote"),
        ("main", PREVIOUS, RETIRED, "confirm"),
    ]
    assert all(move.at_ms > 1_700_000_000_000 for move in lineages.history())


def test_what_cannot_be_done_is_said_and_changes_nothing(lineages: LineageStore, redis_client: redis.Redis) -> None:
    StatisticsStore(redis_client, "half").begin(SETTINGS, replay_to_ms=9)
    before = lineages.states()
    for refused, said in (
        (lambda: lineages.promote("nobody"), "'nobody' does not exist: only one"),
        (lambda: lineages.promote("main"), "'main' is active: only one"),
        (lambda: lineages.promote("half"), "'half' is replaying: only one"),
        (lineages.rollback, "no previous lineage to roll back to: 'main' is served"),
        (lineages.confirm, "no previous lineage to retire"),
        (lambda: lineages.retire("main"), "'main' is active: only one that"),
        (lambda: lineages.retire("nobody"), "'nobody' does not exist: only one that"),
        (lambda: lineages.finish_replay("new"), "'new' is following, no longer replaying"),
    ):
        with pytest.raises(LineageError, match=said):
            refused()
    assert (lineages.states(), lineages.active(), lineages.history()) == (before, "main", ())
    lineages.promote("new")
    StatisticsStore(redis_client, "third").begin(SETTINGS)
    with pytest.raises(LineageError, match="'main' is still kept for a rollback"):
        lineages.promote("third")


def test_a_change_that_another_has_overtaken_is_refused_whole(
    lineages: LineageStore, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = lineages.states()
    LineageStore(redis_client).retire("new")
    monkeypatch.setattr(lineages, "states", lambda: seen)
    with pytest.raises(LineageError, match="'new' is retired, no longer following: nothing was changed"):
        lineages.promote("new")
    assert LineageStore(redis_client).states() == {"main": ACTIVE, "new": RETIRED}
    assert lineages.active() == "main"


def test_a_replay_is_begun_once_and_gone_on_with(redis_client: redis.Redis) -> None:
    store, lineages = StatisticsStore(redis_client, "new"), LineageStore(redis_client)
    for _ in range(2):
        store.begin(SETTINGS, replay_to_ms=7_000)
    assert lineages.all() == (Lineage("new", REPLAYING, SETTINGS, -1, 7_000),)
    # What is half built must not be served.
    assert lineages.active() is None
    with pytest.raises(LineageError, match=r"is being replayed up to 7000: let `backdrop replay` finish"):
        store.begin(SETTINGS)
    with pytest.raises(LineageError, match="is being replayed up to 7000, not to be replayed up to 8000"):
        store.begin(SETTINGS, replay_to_ms=8_000)
    with pytest.raises(LineageError, match=r"gamma: stored 1\.0, set 0\.9"):
        store.begin(OTHER, replay_to_ms=7_000)
    lineages.finish_replay("new")
    with pytest.raises(LineageError, match="exists and is following"):
        store.begin(SETTINGS, replay_to_ms=7_000)
    store.begin(SETTINGS)
    assert (lineages.states(), lineages.active()) == ({"new": ACTIVE}, "new")


def test_a_retired_lineage_is_not_taken_up_again(lineages: LineageStore, redis_client: redis.Redis) -> None:
    lineages.retire("new")
    for target in (None, 7_000):
        with pytest.raises(LineageError, match="'new' is retired: choose another"):
            StatisticsStore(redis_client, "new").begin(OTHER, replay_to_ms=target)


def test_a_lineage_of_before_the_registry_is_registered(redis_client: redis.Redis) -> None:
    command(redis_client, "HSET", keys.lineage("old"), "fingerprint", SETTINGS.fingerprint())
    command(redis_client, "SET", keys.ACTIVE_LINEAGE, "old")
    with pytest.raises(LineageError, match="exists and is active"):
        StatisticsStore(redis_client, "old").begin(SETTINGS, replay_to_ms=5)
    assert LineageStore(redis_client).states() == {"old": ACTIVE}


def test_another_number_of_partitions_is_refused(redis_client: redis.Redis) -> None:
    for _ in range(2):
        RedisEventLog(redis_client, 4).require_partitions()
    with pytest.raises(SettingsError, match="partitions = 2: the event log was begun with 4"):
        RedisEventLog(redis_client, 2).require_partitions()


def test_a_trim_keeps_what_lineages_and_the_archive_need(
    lineages: LineageStore, redis_client: redis.Redis, tmp_path: Path
) -> None:
    log, objects = RedisEventLog(redis_client, 1), FileObjectStore(tmp_path)
    for at_ms in range(10_000, 30_000, 1_000):
        command(redis_client, "XADD", keys.events(0), f"{at_ms}-0", "b", b"x")
    entries = log.read(0, ORIGIN, 100).entries
    write_archive(objects, entries[:15], after=ORIGIN)
    archived = entries[14].position
    trimmer = Trimmer(log, objects)
    main, new = StatisticsStore(redis_client, "main"), StatisticsStore(redis_client, "new")
    assert trimmer.trim(lineages.all()) == (Trimmed(0, 0, ORIGIN, "main"),)
    main.raise_low_watermark(24_000)
    assert trimmer.trim(lineages.all()) == (Trimmed(0, 0, ORIGIN, "new"),)
    new.raise_low_watermark(16_000)
    assert trimmer.trim(lineages.all()) == (Trimmed(0, 2, Position(12_000, 0), "new"),)
    # Neither a replay nor what was given up holds the log: the one reads the archive, the other nothing.
    StatisticsStore(redis_client, "half").begin(SETTINGS, replay_to_ms=9)
    lineages.retire("new")
    assert trimmer.trim(lineages.all()) == (Trimmed(0, 8, Position(20_000, 0), "main"),)
    main.raise_low_watermark(90_000)
    assert trimmer.trim(lineages.all()) == (Trimmed(0, 4, archived, "archive"),)
    assert log.first(0) == archived


def test_a_trim_follows_the_archive_however_it_is_cut(redis_client: redis.Redis, tmp_path: Path) -> None:
    log, objects = RedisEventLog(redis_client, 1), FileObjectStore(tmp_path)
    entries = [LogEntry(0, place, b"x") for place in log.append(0, [b"x"] * 20)]
    trimmer = Trimmer(log, objects)
    for start, stop, reached in (
        (0, 5, 5),
        (5, 9, 9),
        (9, 10, 10),
        (7, 13, 13),
        (15, 18, 13),
        (13, 15, 18),
        (18, 20, 20),
    ):
        write_archive(objects, entries[start:stop], after=entries[start - 1].position if start else ORIGIN)
        (done,) = trimmer.trim(())
        assert (done.below, done.held_by) == (entries[reached - 1].position, "archive")
        assert log.first(0) == entries[reached - 1].position
