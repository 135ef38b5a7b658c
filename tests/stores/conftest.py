"""Event logs and object stores under test, behind one face each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from contracts import EventLog, SystemClock
from stores import FileEventLog, FileObjectStore, ObjectStore, RedisEventLog, connect
from stores.embedded import EmbeddedRedis
from stores.objects_gcs import GcsObjectStore
from tests.stores.fake_bucket import FakeBucketServer

PARTITIONS = 2


@dataclass(frozen=True, slots=True)
class LogUnderTest:
    """An event log and what the suite does to it from outside."""

    log: EventLog
    reopen: Callable[[], EventLog]
    now_ms: Callable[[], int]


@pytest.fixture(params=["redis", "file"])
def under_test(request: pytest.FixtureRequest, tmp_path: Path) -> LogUnderTest:
    """An empty event log of two partitions."""
    if request.param == "redis":
        client: redis.Redis = request.getfixturevalue("redis_client")
        log = RedisEventLog(client, PARTITIONS)
        return LogUnderTest(log, lambda: RedisEventLog(client, PARTITIONS), log.clock_ms)
    clock = SystemClock()
    folder = tmp_path / "events"
    return LogUnderTest(
        FileEventLog(folder, clock, PARTITIONS, sync=False),
        lambda: FileEventLog(folder, clock, PARTITIONS, sync=False),
        clock.now_ms,
    )


@pytest.fixture(params=["redis", "file"])
def unavailable_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    """An event log whose store has gone."""
    if request.param == "redis":
        with EmbeddedRedis(tmp_path / "redis") as server:
            url = server.url
        client = connect(url, timeout_s=1.0, retries=0)
        yield RedisEventLog(client, PARTITIONS)
        client.close()
    else:
        log = FileEventLog(tmp_path / "events", SystemClock(), PARTITIONS)
        (tmp_path / "events").rmdir()
        yield log


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[FakeBucketServer]:
    """A small server of the storage JSON API on this machine."""
    with FakeBucketServer() as server:
        yield server


@pytest.fixture
def bucket_client(bucket_server: FakeBucketServer) -> Iterator[Client]:
    """Google's own client, talking to the small server, with nothing stored."""
    bucket_server.clear()
    nobody: Callable[[], object] = AnonymousCredentials
    client = Client(project="test", credentials=nobody(), client_options={"api_endpoint": bucket_server.url})
    yield client
    client.close()


@pytest.fixture(params=["file", "gs"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty object store."""
    if request.param == "file":
        return FileObjectStore(tmp_path / "objects", "http://127.0.0.1:9/media")
    client: Client = request.getfixturevalue("bucket_client")
    return GcsObjectStore("pictures", "shop/a", client, base_url="http://127.0.0.1:9/media")
