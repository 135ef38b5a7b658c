"""What a learner refuses before it starts, where it begins, and what its archive branch writes."""

import dataclasses
import sys
import threading
from pathlib import Path

import pytest
import redis

from beam_pipelines.learn import LearnConfig, progress_of, run
from beam_pipelines.learn.archive_stage import archive_frames
from beam_pipelines.learn.frames import Frame
from beam_pipelines.learn.positions import start_of
from contracts import (
    ORIGIN,
    GapError,
    InvalidInputError,
    LineageError,
    LogEntry,
    Position,
    SettingsError,
    SetupError,
)
from stores.archive import read_archive
from stores.embedded import EmbeddedRedis
from stores.objects import FileObjectStore
from stores.redis_log import RedisEventLog
from stores.statistics import StatisticsStore
from tests.beam_pipelines.facts import LINEAGE, settings_of

SETTINGS = settings_of()


def config_of(server: EmbeddedRedis) -> LearnConfig:
    return LearnConfig(server.url, LINEAGE, SETTINGS, sys.executable, partitions=1)


def test_a_config_survives_being_handed_over(redis_server: EmbeddedRedis) -> None:
    config = config_of(redis_server)
    assert LearnConfig.from_json(config.to_json()) == config


def test_settings_that_cannot_work_are_refused(redis_server: EmbeddedRedis) -> None:
    config = config_of(redis_server)
    with pytest.raises(SettingsError, match="cannot stream"):
        dataclasses.replace(config, runner="direct")
    with pytest.raises(SettingsError, match="flush_ms = 0"):
        dataclasses.replace(config, flush_ms=0)
    with pytest.raises(InvalidInputError, match="lineage"):
        dataclasses.replace(config, lineage="a b")


def test_a_missing_prism_is_named(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    with pytest.raises(SetupError, match="/nowhere/prism"):
        run(dataclasses.replace(config_of(redis_server), runner_path="/nowhere/prism"))


def test_other_settings_are_refused_naming_both_values(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    StatisticsStore(redis_client, LINEAGE).begin(settings_of(shards=7))
    with pytest.raises(LineageError, match="shards: stored 7, set 2"):
        run(config_of(redis_server))


def test_a_trimmed_log_is_refused(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    log = RedisEventLog(redis_client, 1)
    log.append(0, [b"a"])
    last = log.append(0, [b"b"])[-1]
    log.trim(0, last)
    with pytest.raises(GapError):
        run(config_of(redis_server))


def test_without_redis_it_waits_until_it_is_stopped(tmp_path: Path, redis_server: EmbeddedRedis) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    run(dataclasses.replace(config_of(redis_server), redis_url="redis://127.0.0.1:1/0"), stop)
    assert stop.is_set()


def test_a_learner_begins_where_every_open_window_is_whole(redis_client: redis.Redis, tmp_path: Path) -> None:
    store = StatisticsStore(redis_client, LINEAGE)
    log = RedisEventLog(redis_client, 1)
    assert start_of(store, log, SETTINGS, None).reading == (ORIGIN,)
    store.raise_low_watermark(1_700_000_100_000)
    restart = Position(1_700_000_100_000 - 40_000, 0)
    assert start_of(store, log, SETTINGS, None).reading == (restart,)
    objects = FileObjectStore(tmp_path)
    begun = start_of(store, log, SETTINGS, objects)
    assert (begun.reading, begun.archived) == ((ORIGIN,), (ORIGIN,))
    archive_frames(objects, [Frame(0, ORIGIN, (LogEntry(0, Position(50, 0), b"x"),))], ORIGIN)
    begun = start_of(store, log, SETTINGS, objects)
    assert (begun.reading, begun.archived) == ((Position(50, 0),), (Position(50, 0),))


def test_a_learner_begins_below_what_was_trimmed_where_the_archive_has_it(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    store, log, objects = (
        StatisticsStore(redis_client, LINEAGE),
        RedisEventLog(redis_client, 1),
        FileObjectStore(tmp_path),
    )
    entries = [log.read(0, position, 1).entries[0] for position in (ORIGIN, *log.append(0, [b"a", b"b", b"c"])[:2])]
    archive_frames(objects, [Frame(0, ORIGIN, tuple(entries[:2]))], ORIGIN)
    log.trim(0, entries[2].position)
    begun = start_of(store, log, SETTINGS, objects)
    assert (begun.reading, begun.archived) == ((ORIGIN,), (entries[1].position,))
    log.trim(0, Position(1 << 60, 0))
    with pytest.raises(GapError, match=f"entries behind {entries[1].position} are needed"):
        start_of(store, log, SETTINGS, objects)


def test_progress_is_caught_up_only_above_the_newest_entry(redis_client: redis.Redis) -> None:
    store, log = StatisticsStore(redis_client, LINEAGE), RedisEventLog(redis_client, 2)
    assert progress_of(store, log).caught_up is False
    (position,) = log.append(1, [b"x"])
    store.raise_low_watermark(position.append_ms)
    behind = progress_of(store, log)
    assert not behind.caught_up
    assert behind.lag_ms >= 0
    store.raise_low_watermark(position.append_ms + 1)
    assert progress_of(store, log).caught_up
    assert progress_of(store, log).lag_ms == 0


def entry(at: int) -> LogEntry:
    return LogEntry(0, Position(at, 0), b"%d" % at)


def test_archived_frames_are_whole_and_each_position_is_read_once(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    first = Frame(0, ORIGIN, (entry(1), entry(2)))
    second = Frame(0, Position(2, 0), (entry(3),))
    fourth = Frame(0, Position(4, 0), (entry(5),))
    archive_frames(objects, [second, fourth, first], ORIGIN)
    archive_frames(objects, [second, first], ORIGIN)
    assert [found.append_ms for found in read_archive(objects, 0, ORIGIN)] == [1, 2, 3, 5]
    assert len(list(objects.list("archive/0/"))) == 2
    archive_frames(objects, [Frame(0, Position(2, 0), (entry(3), entry(4), entry(5), entry(6)))], Position(3, 0))
    assert [found.append_ms for found in read_archive(objects, 0, ORIGIN)] == [1, 2, 3, 4, 5, 6]
