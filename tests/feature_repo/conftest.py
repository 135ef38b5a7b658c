"""Two Feast repositories, applied and materialised once a session: Backdrop's own, and one with every type.

Feast takes seconds to import and its registry calls warn: all tests here share one process and these stores.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from stores import EmbeddedRedis, connect
from tests.feature_repo.shop import NOW, REPO, Shop, load_shop, load_wide

__all__ = ["NOW", "REPO"]


@pytest.fixture(scope="session")
def feature_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis that no other test empties."""
    with EmbeddedRedis(tmp_path_factory.mktemp("feature-redis")) as server:
        yield server


@pytest.fixture(scope="session")
def feature_client(feature_redis: EmbeddedRedis) -> Iterator[redis.Redis]:
    client = connect(feature_redis.url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def shop(feature_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Backdrop's own repository; loading it leaves no trace in this process."""
    before = (Path.cwd(), os.environ.get("BACKDROP_FEATURES_DIR"), list(sys.path), "definitions" in sys.modules)
    loaded = load_shop(tmp_path_factory.mktemp("shop"), feature_redis.url)
    after = (Path.cwd(), os.environ.get("BACKDROP_FEATURES_DIR"), list(sys.path), "definitions" in sys.modules)
    assert after == before
    return loaded


@pytest.fixture(scope="session")
def wide_shop(feature_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A repository with every type the reader reads."""
    return load_wide(tmp_path_factory.mktemp("wide-repo"), tmp_path_factory.mktemp("wide-data"), feature_redis.url)


@pytest.fixture(autouse=True)
def _feast_may_warn() -> Iterator[None]:
    """Feast and what it imports warn of their own deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
