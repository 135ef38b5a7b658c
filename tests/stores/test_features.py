"""The online reader on rows written by hand: ages, gaps, damage, and a Redis that fails."""

import asyncio
import dataclasses
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import redis
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import (
    ContextSchema,
    CreativeRef,
    FormatError,
    Hashed,
    Numeric,
    OneHot,
    ReadPlan,
    SettingsError,
    StoreError,
    UnavailableError,
    entity_key,
    keys,
)
from stores import EmbeddedRedis, OnlineReader, OnlineRow, connect_async
from stores.connect import command
from stores.creative_index import CreativeIndex
from tests.stores.feast_bytes import HOUR_MS, PLAN, stamp, stored

NOW = 1_700_000_000_123
SCHEMA = ContextSchema(
    (
        OneHot("taste:style", ("calm", "loud"), other=True),
        Numeric("activity:clicks", 0.0, 10.0, 0.0),
        Numeric("about:price", 1.0, 100.0, 10.0),
        Hashed("about:category", 4),
        Numeric("slot:big", 0.0, 1.0, 0.0),
    )
)
STYLE, CLICKS, PRICE, CATEGORY, BIG = range(5)
REFS = {
    "oak": CreativeRef("a" * 32, "/media/a.jpg", 300, 250),
    "original": CreativeRef("b" * 32, "https://cdn.example/é.jpg", 300, 250),
}


def put(client: redis.Redis, role: str, name: str, at_ms: int | None = NOW, **values: object) -> None:
    """Write a row as Feast would: ``view__feature=value``."""
    (entity,) = (each for each in PLAN.entities if each.role == role)
    key = entity_key(entity, PLAN.project, name)
    for view in entity.views:
        for feature in view.features:
            value = values.get(f"{view.name}__{feature.name}", ...)
            if value is not ...:
                data = value if isinstance(value, bytes) else stored(value)
                command(client, "HSET", key, feature.field, data)
                if at_ms is not None:
                    command(client, "HSET", key, view.timestamp_field, stamp(at_ms))


@pytest.fixture
async def reader(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> AsyncIterator[OnlineReader]:
    client = connect_async(redis_server.url, timeout_s=5)
    yield OnlineReader(PLAN, SCHEMA, client)
    await client.aclose()


def fill(client: redis.Redis) -> None:
    put(client, "user", "ann", taste__style="loud", activity__clicks=7)
    put(client, "item", "lamp", about__price=20.5, about__category="lamps", about__url="https://shop.example/lamp")
    put(client, "item", "sofa", about__price=99.0, about__category="sofas", about__url="")
    put(client, "placement", "top", slot__big=True)
    CreativeIndex(client).publish("lamp", "top", REFS)


async def test_one_read_brings_everything(reader: OnlineReader, redis_client: redis.Redis) -> None:
    fill(redis_client)
    row = await reader.read("ann", ["lamp", "sofa"], "top", NOW)
    lamps, sofas = SCHEMA.code(CATEGORY, "lamps"), SCHEMA.code(CATEGORY, "sofas")
    assert row.raw.tolist() == [[1.0, 7.0, 20.5, lamps, 1.0], [1.0, 7.0, 99.0, sofas, 1.0]]
    assert row.present.all()
    assert row.usable.all()
    assert not row.stale.any()
    assert row.texts == (
        {"about:category": "lamps", "about:url": "https://shop.example/lamp"},
        {"about:category": "sofas", "about:url": ""},
    )
    assert row.creatives == (REFS, {})
    assert row.user_known
    assert (row.damaged, row.stale_texts) == (0, (False, False))


async def test_nothing_known_is_no_error(reader: OnlineReader) -> None:
    row = await reader.read("nobody", ["nothing", "nothing"], "nowhere", NOW)
    assert np.isnan(row.raw).all()
    assert not row.present.any()
    assert not row.stale.any()
    assert not row.user_known
    assert row.texts == ({}, {})
    assert row.creatives == ({}, {})


async def test_no_items_is_no_error(reader: OnlineReader) -> None:
    row = await reader.read("ann", [], "top", NOW)
    assert row.raw.shape == row.present.shape == row.stale.shape == (0, 5)
    assert row.texts == ()
    assert row.creatives == ()


@pytest.mark.parametrize(("age_ms", "stale"), [(0, False), (HOUR_MS, False), (HOUR_MS + 1, True), (-HOUR_MS, False)])
async def test_values_older_than_their_views_ttl_are_flagged(
    reader: OnlineReader, redis_client: redis.Redis, age_ms: int, stale: bool
) -> None:
    put(redis_client, "user", "ann", NOW - age_ms, taste__style="calm", activity__clicks=3)
    put(redis_client, "item", "lamp", NOW - age_ms, about__price=2.0, about__category="lamps")
    put(redis_client, "item", "sofa", NOW, about__price=2.0, about__category="sofas")
    row = await reader.read("ann", ["lamp", "sofa"], "top", NOW)
    # activity has no TTL; nothing is there of the placement, so nothing of it is stale.
    assert row.stale.tolist() == [[stale, False, stale, stale, False], [stale, False, False, False, False]]
    assert row.usable[:, STYLE].tolist() == [not stale, not stale]
    assert row.present[:, [STYLE, CLICKS, PRICE]].all()
    assert row.stale_texts == (stale, False)
    context = SCHEMA.encode(row.raw, row.usable)
    nothing_but_clicks = {name: [3 if name == "activity:clicks" else None] for name in SCHEMA.features}
    imputed = SCHEMA.encode(*SCHEMA.raw(nothing_but_clicks))
    assert np.array_equal(context[0], imputed[0]) == stale


async def test_a_value_without_an_age_is_stale_where_ages_matter(
    reader: OnlineReader, redis_client: redis.Redis
) -> None:
    put(redis_client, "user", "ann", None, taste__style="calm", activity__clicks=3)
    row = await reader.read("ann", ["lamp"], "top", NOW)
    assert row.stale[0, [STYLE, CLICKS]].tolist() == [True, False]
    assert row.user_known


async def test_nulls_and_nan_are_missing(reader: OnlineReader, redis_client: redis.Redis) -> None:
    put(redis_client, "user", "ann", taste__style=None, activity__clicks=b"\x98\x01\x00")
    put(redis_client, "item", "lamp", about__price=math.nan, about__category="lamps")
    row = await reader.read("ann", ["lamp"], "top", NOW)
    assert row.present.tolist() == [[False, False, False, True, False]]
    assert row.user_known


async def test_unknown_texts_have_the_unknown_code(reader: OnlineReader, redis_client: redis.Redis) -> None:
    put(redis_client, "user", "ann", taste__style="☃")
    row = await reader.read("ann", ["lamp"], "top", NOW)
    assert (row.raw[0, STYLE], row.present[0, STYLE]) == (-1.0, True)


DAMAGED = [b"\x35\x00", b"\x12\x05abc", b"\x12\x01\xff", b"\x62\x00", b"\x20" + b"\xff" * 11, b"\x0f"]


@pytest.mark.parametrize("data", DAMAGED)
async def test_damage_is_counted_and_the_rest_is_read(
    reader: OnlineReader, redis_client: redis.Redis, data: bytes
) -> None:
    fill(redis_client)
    put(redis_client, "user", "ann", taste__style=data)
    put(redis_client, "item", "lamp", about__price=data)
    row = await reader.read("ann", ["lamp", "sofa"], "top", NOW)
    assert row.damaged == 2
    assert row.present.tolist() == [[False, True, False, True, True], [False, True, True, True, True]]
    with pytest.raises(FormatError):
        await reader.values("ann", ["lamp"], "top")


async def test_a_value_of_another_type_is_damage(reader: OnlineReader, redis_client: redis.Redis) -> None:
    put(redis_client, "user", "ann", taste__style=5, activity__clicks="many")
    row = await reader.read("ann", ["lamp"], "top", NOW)
    assert row.damaged == 2
    assert not row.present.any()


async def test_damaged_creatives_are_counted_and_the_rest_is_read(
    reader: OnlineReader, redis_client: redis.Redis
) -> None:
    fill(redis_client)
    command(redis_client, "HSET", keys.creatives("lamp", "top"), "oak", b"{", b"\xff", b"{}")
    row = await reader.read("ann", ["lamp"], "top", NOW)
    assert row.creatives == ({"original": REFS["original"]},)
    assert row.damaged == 2


async def test_changes_are_seen_at_once(reader: OnlineReader, redis_client: redis.Redis) -> None:
    fill(redis_client)
    await reader.read("ann", ["lamp"], "top", NOW)
    put(redis_client, "item", "lamp", about__price=3.0)
    changed = dataclasses.replace(REFS["oak"], url="/media/new.jpg")
    CreativeIndex(redis_client).publish("lamp", "top", {"oak": changed})
    row = await reader.read("ann", ["lamp"], "top", NOW)
    assert row.raw[0, PRICE] == 3.0
    assert row.creatives[0]["oak"] == changed


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=4), st.text(max_size=20))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_ids_may_be_asked_for(reader: OnlineReader, user: str, items: list[str], placement: str) -> None:
    row = await reader.read(user, items, placement, NOW)
    assert row.raw.shape == (len(items), 5)


def with_key_type(key_type: str) -> ReadPlan:
    entities = tuple(dataclasses.replace(entity, key_type=key_type) for entity in PLAN.entities)
    return dataclasses.replace(PLAN, entities=entities)


async def test_ids_that_cannot_be_keys_are_unknown(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    CreativeIndex(redis_client).publish("lamp", "7", REFS)
    client = connect_async(redis_server.url, timeout_s=5)
    reader = OnlineReader(with_key_type("INT32"), SCHEMA, client)
    row = await reader.read("ann", ["lamp", str(2**40)], "7", NOW)
    assert not row.present.any()
    assert row.creatives == (REFS, {})
    assert await reader.values("ann", ["lamp"], "7") == [dict.fromkeys(PLAN.references)]
    await client.aclose()


async def test_resp3_reads_the_same(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    fill(redis_client)
    rows: list[OnlineRow] = []
    for protocol in (2, 3):
        client = redis.asyncio.Redis.from_url(redis_server.url, protocol=protocol)
        rows.append(await OnlineReader(PLAN, SCHEMA, client).read("ann", ["lamp", "sofa"], "top", NOW))
        await client.aclose()
    assert np.array_equal(rows[0].raw, rows[1].raw)
    assert rows[0].creatives == rows[1].creatives
    assert rows[0].texts == rows[1].texts


async def test_one_refused_command_is_an_error_and_the_connection_lives_on(
    reader: OnlineReader, redis_client: redis.Redis
) -> None:
    fill(redis_client)
    command(redis_client, "SET", keys.creatives("sofa", "top"), "not a hash")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await reader.read("ann", ["sofa", "lamp"], "top", NOW)
    for _ in range(3):
        row = await reader.read("ann", ["lamp"], "top", NOW)
        assert row.creatives == (REFS,)


async def test_many_reads_at_once_do_not_mix(reader: OnlineReader, redis_client: redis.Redis) -> None:
    for number in range(50):
        put(redis_client, "item", f"item-{number}", about__price=float(number))
    rows = await asyncio.gather(*(reader.read("ann", [f"item-{number}"], "top", NOW) for number in range(50)))
    assert [row.raw[0, PRICE] for row in rows] == [float(number) for number in range(50)]


async def test_a_cancelled_read_leaves_no_reply_behind(reader: OnlineReader, redis_client: redis.Redis) -> None:
    fill(redis_client)
    put(redis_client, "item", "other", about__price=1.0)
    for steps in range(1, 12):
        task = asyncio.create_task(reader.read("ann", ["other"] * 5, "top", NOW))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        row = await reader.read("ann", ["lamp"], "top", NOW)
        assert row.raw[0, PRICE] == 20.5
        assert row.creatives == (REFS,)


async def test_a_redis_that_stops_and_comes_back(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        client = connect_async(server.url, timeout_s=5)
        reader = OnlineReader(PLAN, SCHEMA, client)
        await reader.read("ann", ["lamp"], "top", NOW)
        server.restart()
        # The pool's connection is broken, which the caller need not know.
        await reader.read("ann", ["lamp"], "top", NOW)
        server.stop()
        with pytest.raises(UnavailableError, match="read features"):
            await reader.read("ann", ["lamp"], "top", NOW)
        await client.aclose()


async def test_a_redis_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        client = connect_async(server.url, timeout_s=0.2)
        reader = OnlineReader(PLAN, SCHEMA, client)
        await reader.read("ann", ["lamp"], "top", NOW)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(UnavailableError, match="read features"):
                await reader.read("ann", ["lamp"], "top", NOW)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await reader.read("ann", ["lamp"], "top", NOW)
        await client.aclose()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (ContextSchema((Numeric("about:weight", 0.0, 1.0, 0.5),)), "lacks the features"),
        (ContextSchema((Numeric("about:category", 0.0, 1.0, 0.5),)), "cannot take"),
        (ContextSchema((OneHot("about:price", ("x",)),)), "cannot take"),
    ],
)
async def test_a_plan_that_does_not_fit_the_schema_is_refused(
    redis_server: EmbeddedRedis, schema: ContextSchema, words: str
) -> None:
    client = connect_async(redis_server.url)
    with pytest.raises(SettingsError, match=words):
        OnlineReader(PLAN, schema, client)
    await client.aclose()


async def test_a_plan_without_some_entities_reads_the_others(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    fill(redis_client)
    client = connect_async(redis_server.url, timeout_s=5)
    plan = ReadPlan("shop", PLAN.entities[1:2], PLAN.item_texts)
    schema = ContextSchema((Numeric("about:price", 0.0, 1.0, 0.5),))
    row = await OnlineReader(plan, schema, client).read("ann", ["lamp"], "top", NOW)
    assert row.raw.tolist() == [[20.5]]
    assert not row.user_known
    only_user = ReadPlan("shop", PLAN.entities[:1])
    schema = ContextSchema((Numeric("activity:clicks", 0.0, 1.0, 0.5),))
    reader = OnlineReader(only_user, schema, client)
    row = await reader.read("ann", ["lamp", "sofa"], "top", NOW)
    assert row.raw.tolist() == [[7.0], [7.0]]
    expected: list[Mapping[str, object]] = [{"taste:style": "loud", "activity:clicks": 7}] * 2
    assert await reader.values("ann", ["lamp", "sofa"], "top") == expected
    await client.aclose()


async def test_the_reader_needs_no_feast() -> None:
    code = "import sys, stores.features; assert not {'feast', 'google.protobuf'} & set(sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
