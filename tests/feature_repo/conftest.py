"""Two Feast repositories, applied and materialised once a session: Backdrop's own, and one with every type.

Feast takes seconds to import and its registry calls warn: all tests here share one process and these stores.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from contracts import ContextSchema, ReadPlan
from feature_repo import apply_and_materialize, compile_features, compile_plan, write_profiles
from stores import EmbeddedRedis, connect
from stores.connect import command
from tests.feature_repo import profiles, wide
from tests.feature_repo.shop import Shop

REPO = Path(__file__).resolve().parents[2] / "feature_repo"
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


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
    """Backdrop's own repository, loaded with profiles fresh, old and odd, as of ``NOW``."""
    folder = tmp_path_factory.mktemp("shop")
    before = (Path.cwd(), os.environ.get("BACKDROP_FEATURES_DIR"), list(sys.path), "definitions" in sys.modules)
    tables = profiles.tables(NOW)
    write_profiles(folder, users=tables["user"], items=tables["item"], placements=tables["placement"])
    store_file = apply_and_materialize(
        REPO,
        redis_url=feature_redis.url,
        features_dir=folder,
        registry_path=folder / "registry.db",
        now=NOW,
    )
    plan, schema = compile_features(
        REPO,
        store_file=store_file,
        context_path=REPO / "context.yaml",
        plan_path=folder / "plan.json",
        schema_path=folder / "context.json",
    )
    after = (Path.cwd(), os.environ.get("BACKDROP_FEATURES_DIR"), list(sys.path), "definitions" in sys.modules)
    assert after == before
    return Shop(REPO, folder, store_file, feature_redis.url, plan, schema, NOW)


@pytest.fixture(scope="session")
def wide_shop(feature_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A repository with every type the reader reads, random rows, and parts of them deleted from Redis."""
    repo, folder = tmp_path_factory.mktemp("wide-repo"), tmp_path_factory.mktemp("wide-data")
    wide.write_repo(repo)
    wide.write_rows(folder, NOW)
    store_file = apply_and_materialize(
        repo,
        redis_url=feature_redis.url,
        features_dir=folder,
        registry_path=folder / "registry.db",
        now=NOW + timedelta(seconds=1),
    )
    schema: ContextSchema = wide.SCHEMA
    plan: ReadPlan = compile_plan(repo, schema, store_file=store_file, item_texts=("item_wide:s",))
    client = connect(feature_redis.url)
    wide.damage(plan, lambda *words: command(client, *words))
    client.close()
    return Shop(repo, folder, store_file, feature_redis.url, plan, schema, NOW)


@pytest.fixture(autouse=True)
def _feast_may_warn() -> Iterator[None]:
    """Feast and what it imports warn of their own deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
