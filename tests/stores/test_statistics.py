"""The statistics store on a real Redis: every write is a compare-and-set."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import FormatError, LineageError, LineageSettings, Position, keys
from stores.connect import command, connect_async
from stores.dataset import Dataset
from stores.embedded import EmbeddedRedis
from stores.pack_reader import AsyncPackStore
from stores.statistics import CategoryFacts, Delta, StatisticsStore

SETTINGS = LineageSettings("feed", 3)


@pytest.fixture
def store(redis_client: redis.Redis) -> StatisticsStore:
    return StatisticsStore(redis_client, "main")


def test_a_delta_is_taken_only_if_its_version_is_higher(store: StatisticsStore) -> None:
    store.put_deltas("lamps", [Delta(100, 0, 5, b"five")])
    store.put_deltas("lamps", [Delta(100, 0, 5, b"other five"), Delta(100, 0, 4, b"four"), Delta(100, 1, 1, b"one")])
    state = store.state("lamps")
    assert state.deltas == {"100:0": (5, b"five"), "100:1": (1, b"one")}
    assert state.generation == 2
    store.put_deltas("lamps", [Delta(100, 0, 6, b"six")])
    assert store.state("lamps").deltas["100:0"] == (6, b"six")
    assert store.categories() == ("lamps",)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.permutations(range(1, 7)), st.integers(1, 3))
def test_deltas_in_any_order_and_batches_end_at_the_highest(
    store: StatisticsStore, versions: list[int], size: int
) -> None:
    category = f"c{'-'.join(map(str, versions))}-{size}"
    deltas = [Delta(0, 0, version, b"%d" % version) for version in versions]
    for start in range(0, len(deltas), size):
        store.put_deltas(category, deltas[start : start + size])
    assert store.state(category).deltas == {"0:0": (6, b"6")}


def test_closing_replaces_the_base_and_drops_what_it_holds(store: StatisticsStore) -> None:
    store.put_deltas("lamps", [Delta(100, 0, 5, b"a"), Delta(200, 0, 3, b"b"), Delta(300, 1, 2, b"c")])
    assert store.close("lamps", seen=-1, through=200, facts=8, base=b"base")
    state = store.state("lamps")
    assert (state.base, state.through, state.generation) == (b"base", 200, 4)
    assert state.deltas == {"300:1": (2, b"c")}
    assert store.facts() == {"lamps": CategoryFacts(closed=8, open=2, through=200)}
    assert store.facts()["lamps"].total == 10


def test_a_closed_window_takes_no_delta(store: StatisticsStore) -> None:
    assert store.close("lamps", seen=-1, through=200, facts=1, base=b"base")
    assert store.put_deltas("lamps", [Delta(200, 0, 99, b"late"), Delta(100, 0, 99, b"later")]) == 200
    assert not store.state("lamps").deltas
    assert store.state("lamps").generation == 1


def test_closing_from_another_base_changes_nothing(store: StatisticsStore) -> None:
    assert store.close("lamps", seen=-1, through=100, facts=1, base=b"first")
    assert not store.close("lamps", seen=-1, through=200, facts=2, base=b"second")
    assert not store.close("lamps", seen=50, through=200, facts=2, base=b"second")
    assert store.state("lamps").base == b"first"
    assert store.close("lamps", seen=100, through=200, facts=2, base=b"second")
    assert store.state("lamps").base == b"second"


def test_real_window_times_survive_lua_numbers(store: StatisticsStore) -> None:
    window = 1_795_443_560_000
    store.put_deltas("lamps", [Delta(window, 7, 123_456_789, b"x")])
    assert store.state("lamps").deltas == {f"{window}:7": (123_456_789, b"x")}
    assert store.close("lamps", seen=-1, through=window, facts=123_456_789, base=b"b")
    assert store.state("lamps").through == window
    assert store.close("lamps", seen=window, through=window + 1, facts=1, base=b"b2")


def test_state_takes_unchanged_blobs_from_what_is_held(store: StatisticsStore) -> None:
    store.put_deltas("lamps", [Delta(100, 0, 5, b"a"), Delta(200, 0, 3, b"b")])
    held = store.state("lamps")
    store.put_deltas("lamps", [Delta(200, 0, 4, b"B")])
    again = store.state("lamps", held)
    assert again.deltas == {"100:0": (5, b"a"), "200:0": (4, b"B")}
    assert again.deltas["100:0"][1] is held.deltas["100:0"][1]
    store.close("lamps", seen=-1, through=100, facts=5, base=b"base")
    closed = store.state("lamps", again)
    assert closed == store.state("lamps")
    assert store.state("lamps", closed).base is closed.base


def test_a_flushed_redis_is_seen_as_empty_whatever_is_held(store: StatisticsStore, redis_client: redis.Redis) -> None:
    store.put_deltas("lamps", [Delta(200, 0, 3, b"b")])
    store.close("lamps", seen=-1, through=100, facts=5, base=b"base")
    held = store.state("lamps")
    command(redis_client, "FLUSHALL")
    assert store.state("lamps", held).empty


def test_packs_only_get_newer_and_are_announced(store: StatisticsStore, redis_client: redis.Redis) -> None:
    open_channel: Any = redis_client.pubsub
    listener = open_channel()
    listener.subscribe(keys.MODELS_CHANNEL)
    assert store.put_pack("lamps", 3, b"three")
    assert not store.put_pack("lamps", 3, b"other")
    assert not store.put_pack("lamps", 2, b"two")
    heard = [listener.get_message(timeout=1.0) for _ in range(2)]
    listener.close()
    assert heard[1] is not None
    assert json.loads(heard[1]["data"]) == {"lineage": "main", "category": "lamps", "generation": 3}


def test_the_low_watermark_only_rises(store: StatisticsStore) -> None:
    assert store.low_watermark() == -1
    assert store.raise_low_watermark(1_795_443_560_000) == 1_795_443_560_000
    assert store.raise_low_watermark(1_795_443_559_999) == 1_795_443_560_000
    assert store.low_watermark() == 1_795_443_560_000


def test_a_lineage_keeps_its_settings(store: StatisticsStore, redis_client: redis.Redis) -> None:
    store.begin(SETTINGS)
    store.begin(SETTINGS)
    assert store.settings() == SETTINGS
    other = LineageSettings("feed", 3, shards=4)
    with pytest.raises(LineageError, match="shards: stored 8, set 4"):
        store.begin(other)
    assert command(redis_client, "GET", keys.ACTIVE_LINEAGE) == b"main"
    StatisticsStore(redis_client, "second").begin(other)
    assert command(redis_client, "GET", keys.ACTIVE_LINEAGE) == b"main"


def test_an_unknown_lineage_is_named(store: StatisticsStore) -> None:
    with pytest.raises(LineageError, match="'main' does not exist"):
        store.settings()


def begun(client: redis.Redis, *, run_id: str = "") -> StatisticsStore:
    """A store as a learner holds it; ``run_id`` makes believe that Redis has been started again since."""
    plain = StatisticsStore(client, "main")
    plain.begin(SETTINGS)
    dataset = plain.dataset()
    assert dataset is not None
    return StatisticsStore(client, "main", dataset=replace(dataset, run_id=run_id) if run_id else dataset)


def refuses_every_write(store: StatisticsStore, reason: str) -> None:
    with pytest.raises(LineageError, match=reason):
        store.put_deltas("lamps", [Delta(0, 0, 2, b"y")])
    with pytest.raises(LineageError, match=reason):
        store.close("lamps", seen=-1, through=0, facts=1, base=b"z")
    with pytest.raises(LineageError, match=reason):
        store.put_pack("lamps", 500, b"pack")
    with pytest.raises(LineageError, match=reason):
        store.raise_low_watermark(500)


def test_another_redis_process_is_noticed_by_every_write(redis_client: redis.Redis) -> None:
    here = begun(redis_client)
    here.put_deltas("lamps", [Delta(0, 0, 1, b"x")])
    refuses_every_write(begun(redis_client, run_id="0" * 40), "older dataset")
    assert here.state("lamps").deltas == {"0:0": (1, b"x")}
    assert here.low_watermark() == -1
    assert here.raise_low_watermark(400) == 400


def test_a_record_begun_anew_is_noticed_by_every_write(redis_client: redis.Redis) -> None:
    before = begun(redis_client)
    before.put_deltas("lamps", [Delta(0, 0, 9, b"lost")])
    before.put_pack("lamps", 1, b"lost")
    command(redis_client, "FLUSHALL")
    after = begun(redis_client)
    after.put_deltas("lamps", [Delta(0, 0, 1, b"x")])
    refuses_every_write(before, "begun anew")
    assert after.state("lamps").deltas == {"0:0": (1, b"x")}
    assert after.low_watermark() == -1
    assert after.put_pack("lamps", 1, b"pack")


def test_an_emptied_redis_takes_no_delta_and_no_watermark(redis_client: redis.Redis) -> None:
    before = begun(redis_client)
    command(redis_client, "FLUSHALL")
    with pytest.raises(LineageError, match="its record is gone"):
        before.put_deltas("lamps", [Delta(0, 0, 9, b"lost")])
    with pytest.raises(LineageError, match="its record is gone"):
        before.raise_low_watermark(500)
    assert before.low_watermark() == -1
    assert before.state("lamps").empty


def test_what_a_late_writer_left_in_an_emptied_redis_goes(redis_client: redis.Redis) -> None:
    before = begun(redis_client)
    command(redis_client, "FLUSHALL")
    # The writes that do not ask for the lineage's record, as if Redis had been emptied in the middle of a bundle.
    assert before.close("lamps", seen=-1, through=100, facts=70, base=b"lost")
    assert before.put_pack("lamps", 500, b"lost")
    after = begun(redis_client)
    assert after.categories() == ()
    assert after.put_deltas("lamps", [Delta(0, 0, 1, b"x")]) == -1
    state = after.state("lamps")
    assert (state.base, dict(state.deltas), state.generation) == (None, {"0:0": (1, b"x")}, 1)
    assert after.put_pack("lamps", 1, b"pack")
    assert after.facts()["lamps"].total == 1


def test_beginning_again_keeps_what_there_is(redis_client: redis.Redis) -> None:
    first = begun(redis_client)
    first.put_deltas("lamps", [Delta(0, 0, 1, b"x")])
    first.count_entries(0, [(Position(5, 0), {"counting": 1})])
    again = begun(redis_client)
    assert again.dataset() == first.dataset()
    assert again.categories() == ("lamps",)
    assert again.tally() == {"counting": 1}
    again.put_deltas("lamps", [Delta(0, 0, 2, b"y")])
    first.put_deltas("lamps", [Delta(0, 0, 3, b"z")])
    assert first.state("lamps").deltas == {"0:0": (3, b"z")}


def test_datasets_are_written_and_read(redis_client: redis.Redis) -> None:
    assert StatisticsStore(redis_client, "main").dataset() is None
    dataset = begun(redis_client).dataset()
    assert dataset is not None
    assert Dataset.parse(str(dataset)) == dataset


def test_the_tally_counts_each_position_once(store: StatisticsStore) -> None:
    first = [(Position(5, 0), {"counting": 3, "late": 1}), (Position(5, 1), {}), (Position(7, 0), {"counting": 2})]
    store.count_entries(0, first)
    store.count_entries(0, first[1:])
    store.count_entries(0, [(Position(7, 0), {"counting": 2}), (Position(7, 1), {"early": 4})])
    store.count_entries(1, [(Position(6, 0), {"late": 1})])
    assert store.tally() == {"counting": 5, "late": 2, "early": 4}
    assert store.tally_mark(0) == Position(7, 1)
    assert store.tally_mark(2) == Position(0, 0)


def test_status_is_replaced_as_a_whole(store: StatisticsStore) -> None:
    assert store.status() == {}
    store.put_status({"facts": 7, "old": 1})
    store.put_status({"facts": 9, "lag_ms": 12})
    assert store.status() == {"facts": "9", "lag_ms": "12"}


async def test_the_server_reads_packs_and_hears_of_new_ones(
    redis_server: EmbeddedRedis, redis_client: redis.Redis, store: StatisticsStore
) -> None:
    client = connect_async(redis_server.url)
    packs = AsyncPackStore(client)
    assert await packs.active_lineage() is None
    store.begin(SETTINGS)
    assert await packs.active_lineage() == "main"
    heard = packs.subscribe()
    waiting = asyncio.ensure_future(anext(heard))
    await asyncio.sleep(0.2)
    store.put_deltas("lamps", [Delta(0, 0, 1, b"x")])
    store.put_pack("lamps", 1, b"pack")
    assert (await asyncio.wait_for(waiting, 10))["category"] == "lamps"
    assert await packs.categories("main") == ("lamps",)
    assert await packs.generations(["chairs", "lamps"], "main") == [None, 1]
    assert await packs.get_pack("lamps", "main", -1) == b"pack"
    assert await packs.get_pack("lamps", "main", 1) is None
    assert await packs.get_pack("lamps", "main", 500) == b"pack"
    assert await packs.get_pack("chairs", "main") is None
    for damaged in (b"", b"\xff", b"[" * 20_000, b"[]"):
        waiting = asyncio.ensure_future(anext(heard))
        await asyncio.sleep(0)
        command(redis_client, "PUBLISH", keys.MODELS_CHANNEL, damaged)
        assert await asyncio.wait_for(waiting, 10) == {}
    command(redis_client, "HSET", keys.pack("lamps", "main"), "generation", "soon")
    with pytest.raises(FormatError, match=r"b'soon' of .* is no number"):
        await packs.get_pack("lamps", "main")
    await heard.aclose()
    await client.aclose()
