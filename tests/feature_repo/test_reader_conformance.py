"""What serving asks of a reader, of the compiled plan's and of the Feast SDK's alike."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backdrop.sdk_reader import MAX_RUNNING, SdkReader, open_feast
from contracts import CreativeRef, UnavailableError, keys
from feature_repo import write_store_config
from serving.gather import Reader
from stores import CreativeIndex, EmbeddedRedis, OnlineReader, OnlineRow, connect_async
from stores.connect import command
from tests.feature_repo import wide
from tests.feature_repo.agreement import requests
from tests.feature_repo.shop import NOW, Shop

REFS = {
    "oak": CreativeRef("a" * 32, "/media/a.jpg", 300, 250),
    "original": CreativeRef("b" * 32, "https://cdn.example/é.jpg", 300, 250),
}
NOW_MS = round(NOW.timestamp() * 1000)


@asynccontextmanager
async def opened(kind: str, shop: Shop, timeout_s: float = 10) -> AsyncIterator[Reader]:
    client = connect_async(shop.redis_url, timeout_s=timeout_s)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.aclose)
        if kind == "plan":
            yield OnlineReader(shop.plan, shop.schema, client)
        else:
            store = open_feast(shop.repo, shop.store_file)
            reader = SdkReader(store, shop.plan, shop.schema, client, timeout_s=timeout_s)
            stack.push_async_callback(reader.close)
            yield reader


@pytest.fixture(params=["plan", "sdk"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def assert_equal(ours: OnlineRow, theirs: OnlineRow) -> None:
    np.testing.assert_array_equal(ours.raw, theirs.raw)
    np.testing.assert_array_equal(ours.present, theirs.present)
    np.testing.assert_array_equal(ours.stale, theirs.stale)
    for name in ("texts", "creatives", "user_known", "stale_texts", "damaged"):
        assert getattr(ours, name) == getattr(theirs, name), name


async def test_both_bring_back_the_same(wide_shop: Shop, feature_client: redis.Redis) -> None:
    for item in wide.keys_of("item")[::3]:
        command(feature_client, "HSET", keys.creatives(item, "123"), "oak", b'{"id":"a","url":"/a","w":1,"h":2}')
        command(feature_client, "HSET", keys.creatives(item, "123"), "damaged", b"{")
    stale = 0
    async with opened("plan", wide_shop) as plan, opened("sdk", wide_shop) as sdk:
        for user, items, placement in (*requests(150, 1, seed=5), *requests(30, 20, seed=6)):
            for where in (placement, "123"):
                ours = await plan.read(user, items, where, NOW_MS)
                assert_equal(ours, await sdk.read(user, items, where, NOW_MS))
                stale += int(ours.stale.sum())
    assert stale > 100


async def test_everything_in_one_read(kind: str, shop: Shop, feature_client: redis.Redis) -> None:
    CreativeIndex(feature_client).publish("i2", "square", REFS)
    async with opened(kind, shop) as reader:
        row = await reader.read("u0", ["i2", "i5", "nothing"], "square", NOW_MS)
    columns = {name: index for index, name in enumerate(shop.schema.features)}
    width, height = (columns[f"placement_profile:{side}"] for side in ("width", "height"))
    assert row.raw[:, [width, height]].tolist() == [[600.0, 600.0]] * 3
    assert row.creatives == (REFS, {}, {})
    assert [dict(texts).get("item_profile:url") for texts in row.texts] == [
        "https://shop.example/2?q=é",
        "https://shop.example/5?q=é",
        None,
    ]
    assert row.user_known
    # i2 and i5 are 91 days old: one more than their view allows.
    assert row.stale_texts == (True, True, False)
    assert not row.present[2, columns["item_profile:price"]]


async def test_nothing_known_is_no_error(kind: str, shop: Shop) -> None:
    async with opened(kind, shop) as reader:
        row = await reader.read("nobody", ["nothing", "nothing"], "nowhere", NOW_MS)
        assert not row.present.any()
        assert not row.stale.any()
        assert not row.user_known
        assert row.texts == ({}, {})
        assert row.creatives == ({}, {})
        empty = await reader.read("u0", [], "square", NOW_MS)
        assert empty.raw.shape == (0, len(shop.schema.features))
        assert empty.user_known


async def test_ids_that_cannot_be_keys_are_unknown(kind: str, wide_shop: Shop) -> None:
    async with opened(kind, wide_shop) as reader:
        row = await reader.read("ann", ["sku é 1"], str(2**31), NOW_MS)
        assert not row.user_known
        items = [name.startswith("item_wide:") for name in wide_shop.schema.features]
        assert not row.present[:, ~np.array(items)].any()


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=3), st.text(max_size=12))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_ids_may_be_asked_for(kind: str, shop: Shop, user: str, items: list[str], placement: str) -> None:
    async with opened(kind, shop) as reader:
        row = await reader.read(user, items, placement, NOW_MS)
    assert row.raw.shape == (len(items), len(shop.schema.features))


async def test_many_reads_at_once_do_not_mix(kind: str, shop: Shop) -> None:
    names = [f"i{number % 25}" for number in range(50)]
    async with opened(kind, shop) as reader:
        rows = await asyncio.gather(*(reader.read("u0", [name], "square", NOW_MS) for name in names))
    assert [row.texts[0]["item_profile:url"] for row in rows] == [
        f"https://shop.example/{name[1:]}?q=é" for name in names
    ]


@pytest.fixture
def elsewhere(shop: Shop, tmp_path: Path) -> Callable[[str], Shop]:
    """The same repository, with its rows in another Redis."""

    def make(url: str) -> Shop:
        shutil.copy(shop.folder / "registry.db", tmp_path / "registry.db")
        store_file = write_store_config(shop.repo, redis_url=url, registry_path=tmp_path / "registry.db")
        return replace(shop, store_file=store_file, redis_url=url)

    return make


async def test_a_redis_that_stops_and_comes_back(kind: str, elsewhere: Callable[[str], Shop], tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        async with opened(kind, elsewhere(server.url)) as reader:
            assert not (await reader.read("u0", ["i0"], "square", NOW_MS)).user_known
            server.restart()
            await reader.read("u0", ["i0"], "square", NOW_MS)
            server.stop()
            with pytest.raises(UnavailableError, match="could not read"):
                await reader.read("u0", ["i0"], "square", NOW_MS)
            server.start()
            await reader.read("u0", ["i0"], "square", NOW_MS)


async def test_a_redis_that_hangs_is_given_up(kind: str, elsewhere: Callable[[str], Shop], tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        async with opened(kind, elsewhere(server.url), timeout_s=0.5) as reader:
            await reader.read("u0", ["i0"], "square", NOW_MS)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGSTOP)
            try:
                with pytest.raises(UnavailableError, match="could not read"):
                    await reader.read("u0", ["i0"], "square", NOW_MS)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            await reader.read("u0", ["i0"], "square", NOW_MS)


_FACTORY = """
import os, sys
from backdrop import wiring
from backdrop.settings import load_settings
from contracts import ContextSchema, ReadPlan
from pathlib import Path
from stores import connect_async
folder = Path(sys.argv[1])
settings = load_settings(home=folder.parent)
import serving, serving.runner
plan = ReadPlan.from_json((folder / "plan.json").read_bytes())
schema = ContextSchema.from_json((folder / "context.json").read_bytes())
made = wiring.reader_of(wiring.reader_words(settings))(plan, schema, connect_async("redis://127.0.0.1:1"))
print(type(made).__name__, "feast" in sys.modules)
"""


@pytest.mark.parametrize(("reader", "made"), [("plan", "OnlineReader False"), ("sdk", "SdkReader True")])
def test_feast_is_loaded_only_where_it_is_asked_for(shop: Shop, tmp_path: Path, reader: str, made: str) -> None:
    folder = tmp_path / "features"
    shutil.copytree(shop.folder, folder)
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FACTORY, str(folder)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "BACKDROP_FEATURES__READER": reader},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert found.stdout.strip() == made, found.stderr[-2000:]


async def test_reads_that_are_given_up_cost_no_connection(kind: str, shop: Shop, feature_client: redis.Redis) -> None:
    async with opened(kind, shop) as reader:
        expected = await reader.read("u0", ["i2"], "square", NOW_MS)
        chance = random.Random(3)
        before = connections_made(feature_client)
        for _ in range(100):
            task = asyncio.create_task(reader.read("u0", ["i2"], "square", NOW_MS))
            await asyncio.sleep(chance.uniform(0.0, 0.004))
            task.cancel()
            await asyncio.wait([task])
            # Else the next read finds the connection in use, and takes another.
            await asyncio.sleep(0.03)
        assert_equal(await reader.read("u0", ["i2"], "square", NOW_MS), expected)
        assert connections_made(feature_client) - before <= 10


async def test_of_the_sdks_reads_so_many_wait_and_no_more(shop: Shop, feature_redis: EmbeddedRedis) -> None:
    async with opened("sdk", shop, timeout_s=0.5) as reader:
        await reader.read("u0", ["i2"], "square", NOW_MS)
        pid = feature_redis.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            tasks = [asyncio.create_task(reader.read("u0", ["i2"], "square", NOW_MS)) for _ in range(MAX_RUNNING + 5)]
            found = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert all(isinstance(each, UnavailableError) for each in found)
        assert sum("reads wait for Redis, the limit" in str(each) for each in found) == 5
        assert (await reader.read("u0", ["i2"], "square", NOW_MS)).user_known


def connections_made(client: redis.Redis) -> int:
    made: int = command(client, "INFO", "stats")["total_connections_received"]
    return made
