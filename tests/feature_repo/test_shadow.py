"""The shadow on Feast's own rows: what is the same, what has changed since, and a wrong byte."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from backdrop.sdk_reader import SdkReader, open_feast
from backdrop.shadow import CHANGED, DAMAGED, EQUAL, MISMATCH, OTHER_PLAN, REWRITTEN, Shadow
from contracts import CreativeRef, entity_key
from stores import CreativeIndex, EmbeddedRedis, OnlineReader, ShadowSample, connect, connect_async
from stores.connect import command
from tests.feature_repo.shop import NOW, Shop, load_shop
from tests.serving.world import ServerProcess, wait_until

ROOT = Path(__file__).parents[2]
NOW_MS = round(NOW.timestamp() * 1000)
PRICE, POPULARITY = "item_profile:price", "item_profile:popularity"


@pytest.fixture(scope="module")
def own_shop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A shop whose rows these tests may spoil."""
    with EmbeddedRedis(tmp_path_factory.mktemp("shadow-redis")) as server:
        yield load_shop(tmp_path_factory.mktemp("shadow-shop"), server.url)


@pytest.fixture
def client(own_shop: Shop) -> Any:
    with connect(own_shop.redis_url) as client:
        yield client


class World:
    """The shadow and the reader whose reads it judges."""

    def __init__(self, shop: Shop, sdk: SdkReader, plain: OnlineReader) -> None:
        self.shop, self.sdk, self.plain = shop, sdk, plain
        self.shadow = Shadow(sdk, plain, shop.plan, shop.schema)

    async def sample(self, item: str, user: str = "u0", *, plan: str | None = None) -> bytes:
        row = await self.plain.read(user, [item, "i0"], "square", NOW_MS)
        used = plan or self.shop.plan.fingerprint
        made = ShadowSample.of(user, [item, "i0"], "square", row, plan=used, schema=self.shop.schema.hash)
        return made.to_json()


@pytest.fixture
async def world(own_shop: Shop) -> AsyncIterator[World]:
    client = connect_async(own_shop.redis_url, timeout_s=5)
    sdk = SdkReader(open_feast(own_shop.repo, own_shop.store_file), own_shop.plan, own_shop.schema, client)
    yield World(own_shop, sdk, OnlineReader(own_shop.plan, own_shop.schema, client))
    await sdk.close()
    await client.aclose()


def place(shop: Shop, item: str, reference: str) -> tuple[bytes, bytes]:
    """Redis key and field of an item's feature."""
    (entity,) = (each for each in shop.plan.entities if each.role == "item")
    view_name, _, name = reference.partition(":")
    (field,) = (
        each.field for view in entity.views if view.name == view_name for each in view.features if each.name == name
    )
    return entity_key(entity, shop.plan.project, item), field


def write_price(shop: Shop, item: str, price: float) -> None:
    """A newer row, by the SDK."""
    import pandas as pd

    row = {"item": item, "category": "lamps", "price": price, "popularity": 0.5, "url": "/new", "image_url": "/new.jpg"}
    frame = pd.DataFrame([{**row, "event_timestamp": NOW + timedelta(hours=1)}])
    frame = frame.astype({"price": "float32", "popularity": "float32"})
    shop.store().write_to_online_store("item_profile", frame)


async def test_what_both_read_is_equal_known_or_not(world: World) -> None:
    for number in range(25):
        assert await world.shadow.judge(await world.sample(f"i{number}", f"u{number}")) == EQUAL
    assert await world.shadow.judge(await world.sample("nothing", "nobody")) == EQUAL
    assert world.shadow.tally.line() == "26 samples read again: 26 equal"


async def test_what_changed_in_between_is_no_mismatch(world: World, client: redis.Redis) -> None:
    sample = await world.sample("i4")
    write_price(world.shop, "i4", 12.5)
    assert await world.shadow.judge(sample) == CHANGED
    sample = await world.sample("i5")
    command(client, "DEL", place(world.shop, "i5", PRICE)[0])
    assert await world.shadow.judge(sample) == CHANGED
    sample = await world.sample("i6")
    command(client, "HSET", *place(world.shop, "i6", PRICE), b"\x35\x00\x00\x80\x3f")
    assert await world.shadow.judge(sample) == REWRITTEN
    assert not world.shadow.tally.mismatches


@pytest.mark.parametrize("data", [b"\x35\x00", b"\x12\x05abc", b"\x20" + b"\xff" * 11, b"\x0f"])
async def test_a_wrong_byte_is_found_before_and_after_the_read(world: World, client: redis.Redis, data: bytes) -> None:
    key, field = place(world.shop, "i8", PRICE)
    good = command(client, "HGET", key, field)
    sample = await world.sample("i8")
    command(client, "HSET", key, field, data)
    assert await world.shadow.judge(sample) == MISMATCH
    assert await world.shadow.judge(await world.sample("i8")) == MISMATCH
    assert world.shadow.tally.mismatches == {"item:*": 2}
    command(client, "HSET", key, field, good)
    assert await world.shadow.judge(sample) == EQUAL


async def test_values_that_only_one_of_them_reads_so_are_mismatches_by_reference(world: World) -> None:
    # A reader by a wrong plan: it looks for the price where the popularity lies, and the other way round.
    plan = world.shop.plan
    fields = [place(world.shop, "i12", name)[1] for name in (PRICE, POPULARITY)]
    swapped = dict(zip(fields, reversed(fields), strict=True))
    (item,) = (entity for entity in plan.entities if entity.role == "item")
    (view,) = item.views
    features = tuple(replace(each, field=swapped.get(each.field, each.field)) for each in view.features)
    wrong_item = replace(item, views=(replace(view, features=features),))
    wrong_plan = replace(plan, entities=tuple(wrong_item if each is item else each for each in plan.entities))
    client = connect_async(world.shop.redis_url, timeout_s=5)
    wrong = World(world.shop, world.sdk, OnlineReader(wrong_plan, world.shop.schema, client))
    assert await wrong.shadow.judge(await wrong.sample("i12")) == MISMATCH
    assert set(wrong.shadow.tally.mismatches) == {PRICE, POPULARITY}
    await client.aclose()


async def test_other_plans_and_damaged_samples_are_counted_apart(world: World) -> None:
    assert await world.shadow.judge(await world.sample("i0", plan="0" * 64)) == OTHER_PLAN
    assert await world.shadow.judge(b"{") == DAMAGED


def run_shadow(home: Path, url: str, samples: int) -> "subprocess.Popen[str]":
    words = ["shadow", "--samples", str(samples), "--home", str(home), "--redis", url]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "backdrop", *words],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("BACKDROP_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.e2e
def test_a_real_shadow_of_a_real_server_finds_the_wrong_byte_and_nothing_else(
    own_shop: Shop, client: redis.Redis, tmp_path: Path
) -> None:
    shutil.copytree(own_shop.folder, tmp_path / "features")
    ref = CreativeRef("c" * 32, "/media/c.jpg", 600, 600)
    CreativeIndex(client).publish_all({(f"i{number}", "square"): {"oak": ref} for number in range(25)})
    settings: dict[str, Any] = {
        "plan_path": own_shop.folder / "plan.json",
        "schema_path": own_shop.folder / "context.json",
        "shadow_every": 2,
    }
    with ServerProcess(tmp_path / "server", own_shop.redis_url, **settings) as server:
        for wrong in (False, True):
            if wrong:
                command(client, "HSET", *place(own_shop, "i13", PRICE), b"\x35\x00\x00")
            with run_shadow(tmp_path, own_shop.redis_url, samples=26) as process:
                assert process.stderr is not None
                assert "comparing" in process.stderr.readline()
                number = 0

                def ask(process: "subprocess.Popen[str]" = process) -> bool:
                    nonlocal number
                    server.decide(f"u{number % 60}", f"i{number % 25}", "square")
                    number += 1
                    return process.poll() is not None

                wait_until(ask, "the shadow has seen enough", 90)
                out, log = process.communicate(timeout=30)
            assert process.returncode == (1 if wrong else 0), (out, log)
            assert "samples read again: " in out
            assert ("mismatch" in out) == wrong, out
            lines = [json.loads(line) for line in log.splitlines() if "shadow_mismatch" in line]
            assert {(line["role"], line["entity"]) for line in lines} == ({("item", "i13")} if wrong else set())
        assert b'backdrop_shadow_samples_total{outcome="sent"}' in server.get("/metrics").body
        assert own_shop.plan.fingerprint.encode() in server.get("/metrics").body
