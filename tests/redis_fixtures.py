"""A real Redis for tests: one embedded server a session, emptied for each test."""

from collections.abc import Iterator

import pytest
import redis

from stores.connect import command, connect
from stores.embedded import EmbeddedRedis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """The session's server; a test that stops it must start it again, or run a server of its own."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """A client (replies as bytes) of the session's server, with nothing stored."""
    client = connect(redis_server.url)
    command(client, "FLUSHALL")
    yield client
    client.close()
