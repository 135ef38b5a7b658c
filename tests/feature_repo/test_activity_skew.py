"""Streaming features: the rows served at any time are those that the offline store joins for that time."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import redis

from beam_pipelines.learn import ActivityConfig
from beam_pipelines.learn.activity import ActivityRows, ActivityState, settle
from beam_pipelines.learn.activity_facts import ActivityFacts
from contracts import (
    ACTIVITY_FEATURES,
    ACTIVITY_SCHEMA,
    ACTIVITY_VIEW,
    ActivityRules,
    Bias,
    ContextSchema,
    Numeric,
    Present,
    WritePlan,
    entity_key,
)
from feature_repo import compile_plan, compile_writes, gather_activity, historical_contexts, write_store_config
from stores import FileObjectStore, OnlineReader, OnlineWriter, connect, connect_async, read_activity, write_activity
from stores.connect import command
from tests.feature_repo.conftest import NOW, REPO
from tests.feature_repo.shop import Shop

BUCKET_MS = 300_000
BEGIN_MS = round(NOW.timestamp() * 1000) // BUCKET_MS * BUCKET_MS
RULES = ActivityRules(BUCKET_MS, closed=6)
SCHEMA = ContextSchema(
    (
        Bias(),
        Numeric("user_activity:recent_impressions", 0.0, 12.0, 0.0),
        Numeric("user_activity:recent_clicks", 0.0, 12.0, 0.0),
        Numeric("user_activity:recent_ctr", 0.0, 1.0, 0.5),
        Present("user_activity:recent_clicks"),
    )
)
USERS = [f"visitor-{number}" for number in range(6)]


def visits() -> ActivityFacts:
    """An hour in which each user comes a few times; one in three looks is a click."""
    rng, ids = random.Random(5), np.random.default_rng(5)
    rows = sorted(
        (BEGIN_MS + rng.randrange(3_600_000), user) for user in USERS for _ in range(USERS.index(user) * 4 + 1)
    )
    at_ms = np.array([at for at, _ in rows], dtype=np.uint64)
    count = len(rows)
    shown = ActivityFacts(
        np.zeros(count, dtype=np.uint8),
        at_ms << np.uint64(16) | np.uint64(7 << 12),
        ids.integers(1 << 63, (1 << 63) + (1 << 62), count, dtype=np.uint64),
        at_ms.astype(np.int64) + 150,
        pa.array([user for _, user in rows]),
    )
    clicked = shown.take(np.arange(0, count, 3))
    later = clicked.append_ms + np.array([rng.choice((700, 20_000, 900_000)) for _ in range(len(clicked))])
    clicks = ActivityFacts(np.ones(len(clicked), dtype=np.uint8), clicked.high, clicked.low, later, clicked.users)
    return ActivityFacts.concatenate([shown, clicks])


@pytest.fixture
def writes(shop: Shop, tmp_path: Path) -> WritePlan:
    plan = compile_writes(REPO, store_file=shop.store_file, path=tmp_path / "stream.json")
    assert WritePlan.from_json((tmp_path / "stream.json").read_bytes()) == plan
    # The view is the one that the learner writes.
    ActivityConfig(plan.to_json().decode(), str(tmp_path))
    return plan


@pytest.fixture
def client(shop: Shop, writes: WritePlan) -> Iterator[redis.Redis]:
    """The shop's Redis; its users of this test go afterwards."""
    found = connect(shop.redis_url)
    yield found
    (entity,) = writes.plan.entities
    command(found, "DEL", *(entity_key(entity, writes.plan.project, user) for user in USERS))
    found.close()
    gather_activity(shop.folder, ())


async def test_rows_served_are_the_rows_joined_for_the_same_time(
    shop: Shop, writes: WritePlan, client: redis.Redis, tmp_path: Path
) -> None:
    import pandas as pd

    objects = FileObjectStore(tmp_path / "objects")
    plan = compile_plan(REPO, SCHEMA, store_file=shop.store_file)
    rng = random.Random(9)
    # In the open bucket and after its end, at rows' own times and a millisecond off, and long after everybody left.
    times = [BEGIN_MS + rng.randrange(0, 7_000_000) for _ in range(60)]
    times += [BEGIN_MS + number * BUCKET_MS + off for number in range(0, 30, 3) for off in (-1, 0, 1)]
    times += [BEGIN_MS + number * 1_000 for number in rng.sample(range(3_600), 10)]
    times.sort()
    state, waiting = ActivityState(), visits()
    writer = OnlineWriter(writes, ACTIVITY_VIEW, client)
    reader = OnlineReader(plan, SCHEMA, connect_async(shop.redis_url, timeout_s=10))
    asked: list[tuple[str, int]] = []
    served: list[np.ndarray] = []
    for at_ms in times:
        # What the learner has written by then: all rows due.
        done = settle(state, waiting, at_ms // RULES.flush_ms * RULES.flush_ms, RULES)
        state, waiting = done.state, done.waiting
        _write(writer, done.rows.latest())
        for end_ms, rows in done.closed.items():
            assert write_activity(objects, rows.table(), bucket_end_ms=end_ms, shard=0)
            assert not write_activity(objects, rows.table(), bucket_end_ms=end_ms, shard=0)
        for user in (*USERS, "stranger"):
            row = await reader.read(user, ["i0"], "square", at_ms)
            asked.append((user, at_ms))
            served.append(SCHEMA.encode(row.raw, row.usable))
    gather_activity(shop.folder, read_activity(objects))
    frame = pd.DataFrame(
        {
            "user": [user for user, _ in asked],
            "event_timestamp": [datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at) for _, at in asked],
        }
    )
    offline = historical_contexts(shop.repo, SCHEMA, frame, store_file=shop.store_file)
    assert np.array_equal(offline, np.concatenate(served))
    # Cases that could differ did occur: many values, users without a row, and rows gone stale.
    assert len(np.unique(offline, axis=0)) > 15
    assert {bool(entry) for entry in offline[:, -1]} == {True, False}


def _write(writer: OnlineWriter, rows: ActivityRows) -> None:
    table = rows.table()
    columns = table.select(list(ACTIVITY_FEATURES)).to_pydict()
    times = table.column("event_timestamp").cast(pa.int64()).to_pylist()
    writer.write(table.column("user").to_pylist(), times, columns)


def test_a_repository_without_stream_views_writes_nothing(wide_shop: Shop, tmp_path: Path) -> None:
    plan = compile_writes(wide_shop.repo, store_file=wide_shop.store_file, path=tmp_path / "stream.json")
    assert plan.find(ACTIVITY_VIEW) is None
    assert (plan.plan.project, plan.plan.entities, plan.key_ttl_s) == ("wide", (), 0)


def test_feasts_key_ttl_is_taken_over(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes((shop.folder / "registry.db").read_bytes())
    store_file = write_store_config(REPO, redis_url=shop.redis_url, registry_path=tmp_path / "registry.db")
    store_file.write_text(store_file.read_text().replace("type: redis", "type: redis\n  key_ttl_seconds: 86400"))
    assert compile_writes(REPO, store_file=store_file, path=tmp_path / "stream.json").key_ttl_s == 86_400


def test_the_registered_view_is_the_rows_own(writes: WritePlan) -> None:
    found = writes.find(ACTIVITY_VIEW)
    assert found is not None
    entity, view = found
    assert (entity.join_key, entity.key_type, view.ttl_ms) == ("user", "STRING", 3 * BUCKET_MS)
    assert {feature.name: feature.value_type for feature in view.features} == dict(ACTIVITY_FEATURES)
    assert set(ACTIVITY_SCHEMA.names) == {"user", "event_timestamp", *ACTIVITY_FEATURES}
