"""What a learner's parent notices of a Redis that lost what was in it, on a real Redis and a real archive."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from beam_pipelines.learn.sight import Sight
from contracts import ORIGIN, LogEntry, Position
from stores.archive import write_archive
from stores.connect import command, connect
from stores.dead_letters import DeadLetters
from stores.embedded import EmbeddedRedis
from stores.objects import FileObjectStore
from stores.redis_log import RedisEventLog
from stores.statistics import StatisticsStore
from tests.beam_pipelines.facts import LINEAGE, settings_of

SETTINGS = settings_of()


class Parent:
    """A learner's parent without a worker."""

    def __init__(self, client: redis.Redis, objects: FileObjectStore | None) -> None:
        self.client = client
        self.log = RedisEventLog(client, 2)
        self.store = StatisticsStore(client, LINEAGE)
        self.objects = objects
        self.sight = Sight()
        self.start()

    def start(self) -> None:
        self.store.begin(SETTINGS)
        self.sight.settle(self.store, self.log, self.objects, DeadLetters(self.client))

    def look(self) -> str:
        return self.sight.look(self.store, self.log)

    def append(self, partition: int, count: int = 1) -> list[LogEntry]:
        blobs = [b"%d" % number for number in range(count)]
        positions = self.log.append(partition, blobs)
        return [LogEntry(partition, *pair) for pair in zip(positions, blobs, strict=True)]

    def told(self) -> list[tuple[int, Position, Position]]:
        details = [json.loads(letter.detail) for letter in DeadLetters(self.client).latest()]
        return sorted(
            (found["partition"], Position.parse(found["after"]), Position.parse(found["upto"])) for found in details
        )


@pytest.fixture
def objects(tmp_path: Path) -> FileObjectStore:
    return FileObjectStore(tmp_path / "archive")


@pytest.fixture
def parent(redis_client: redis.Redis, objects: FileObjectStore) -> Parent:
    return Parent(redis_client, objects)


def test_what_only_grows_is_no_change(parent: Parent) -> None:
    assert not parent.look()
    for _ in range(3):
        parent.append(0, 2)
        parent.store.raise_low_watermark(parent.log.clock_ms())
        assert not parent.look()
    parent.log.trim(0, Position(1 << 60, 0))
    assert not parent.look()
    parent.start()
    assert parent.told() == []


def test_an_emptied_redis_is_noticed_with_or_without_traffic(parent: Parent) -> None:
    parent.append(0)
    assert not parent.look()
    command(parent.client, "FLUSHALL")
    assert "its record is gone" in parent.look()
    parent.append(0)
    assert "its record is gone" in parent.look()
    Parent(parent.client, None)
    assert "begun anew" in parent.look()


def test_an_emptied_stream_is_noticed_though_it_has_newer_entries(parent: Parent) -> None:
    (first,) = parent.append(1)
    assert not parent.look()
    command(parent.client, "DEL", "bd:events:1")
    # Within its millisecond an emptied stream would give the same position again.
    while parent.log.clock_ms() == first.append_ms:
        pass
    parent.append(1)
    assert "partition 1 of the event log no longer holds its entry" in parent.look()


def test_what_is_in_no_store_is_told_and_what_is_archived_is_not(parent: Parent, objects: FileObjectStore) -> None:
    archived = parent.append(0, 3)
    write_archive(objects, archived[:2], after=ORIGIN)
    whole = parent.append(1, 2)
    write_archive(objects, whole, after=ORIGIN)
    assert not parent.look()
    command(parent.client, "FLUSHALL")
    parent.append(0)
    parent.start()
    assert parent.told() == [(0, archived[1].position, archived[2].position)]
    assert not parent.look()
    parent.start()
    assert len(parent.told()) == 1


def test_without_an_archive_all_that_was_seen_is_told(redis_client: redis.Redis) -> None:
    parent = Parent(redis_client, None)
    seen = parent.append(1, 3)
    assert not parent.look()
    parent.append(1)
    command(parent.client, "FLUSHALL")
    parent.start()
    assert parent.told() == [(1, ORIGIN, seen[-1].position)]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


def test_an_older_dataset_is_noticed_and_only_what_it_lacks_is_told(
    own_server: EmbeddedRedis, objects: FileObjectStore, tmp_path: Path
) -> None:
    parent = Parent(connect(own_server.url), objects)
    older = parent.append(0, 300)
    parent.store.raise_low_watermark(10)
    own_server.stop()
    shutil.copytree(tmp_path / "redis", tmp_path / "copy")
    own_server.start()
    parent.start()
    newer = parent.append(0, 2)
    parent.store.raise_low_watermark(20)
    assert not parent.look()
    own_server.stop()
    shutil.rmtree(tmp_path / "redis")
    (tmp_path / "copy").rename(tmp_path / "redis")
    own_server.start()
    parent.append(0)
    assert "Redis runs as" in parent.look()
    parent.start()
    assert parent.told() == [(0, older[-1].position, newer[-1].position)]
    assert parent.store.low_watermark() == 10
    assert not parent.look()


def test_a_redis_that_only_restarted_has_lost_nothing(own_server: EmbeddedRedis) -> None:
    parent = Parent(connect(own_server.url), None)
    parent.append(0, 3)
    assert not parent.look()
    own_server.restart()
    assert "Redis runs as" in parent.look()
    parent.start()
    assert parent.told() == []
    assert not parent.look()
