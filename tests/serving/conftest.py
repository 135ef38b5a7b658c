from collections.abc import Iterator

import pytest

from stores import EmbeddedRedis, connect
from tests.serving.world import ServerProcess, fill


@pytest.fixture(scope="module")
def shop_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis that holds the shop; tests may add to it."""
    with EmbeddedRedis(tmp_path_factory.mktemp("shop-redis")) as server:
        client = connect(server.url)
        fill(client)
        client.close()
        yield server


@pytest.fixture(scope="module")
def server(shop_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of that shop, with the studio on."""
    with ServerProcess(tmp_path_factory.mktemp("server"), shop_redis.url, studio=True) as process:
        yield process
