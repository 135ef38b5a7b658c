"""The online writer on a real Redis: bytes, order, repetition, errors; against the SDK in tests/feature_repo."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from contracts import FormatError, InvalidInputError, StoreError, UnavailableError, WritePlan, entity_key
from stores import EmbeddedRedis, OnlineWriter, connect
from stores.connect import command
from tests.stores.feast_bytes import PLAN, field, stamp, stored

NOW_MS = 1_768_478_400_123
USER = PLAN.entities[0]


def writer_of(client: redis.Redis, *, key_ttl_s: int = 0) -> OnlineWriter:
    return OnlineWriter(WritePlan(PLAN, key_ttl_s), "about", client)


def row(client: redis.Redis, item: str) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = command(client, "HGETALL", entity_key(PLAN.entities[1], "shop", item))
    return found


def about(price: float | None) -> dict[str, list[float | str | None]]:
    return {"price": [price], "category": ["lamps"], "url": [None]}


def test_a_row_is_written_as_feast_writes_it(redis_client: redis.Redis) -> None:
    done = writer_of(redis_client).write(["é 1"], NOW_MS * 1000, about(2.5))
    assert (done.put, done.newer) == (1, 0)
    assert row(redis_client, "é 1") == {
        b"_ts:about": stamp(NOW_MS),
        field("about", "price"): stored(2.5),
        field("about", "category"): stored("lamps"),
        field("about", "url"): b"",
    }


def test_other_views_of_the_entity_stay(redis_client: redis.Redis) -> None:
    key = entity_key(USER, "shop", "u")
    command(redis_client, "HSET", key, b"_ts:taste", b"x", field("taste", "style"), stored("urban"))
    OnlineWriter(WritePlan(PLAN), "activity", redis_client).write(["u"], NOW_MS * 1000, {"clicks": [3]})
    assert command(redis_client, "HGETALL", key) == {
        b"_ts:taste": b"x",
        field("taste", "style"): stored("urban"),
        b"_ts:activity": stamp(NOW_MS),
        field("activity", "clicks"): stored(3),
    }


@pytest.mark.parametrize(
    ("held_us", "written_us", "is_put"),
    [
        (1_000_000, 1_000_001, True),
        (1_000_001, 1_000_000, False),
        (1_000_001, 1_000_001, False),
        (999_999, 1_000_000, True),
        (1_000_000, 999_999, False),
        (0, 1, True),
        (2**31 * 10**6, 2**31 * 10**6 - 1, False),
        (253_402_300_799 * 10**6, 253_402_300_798_999_999, False),
    ],
)
def test_only_a_later_row_is_put(redis_client: redis.Redis, held_us: int, written_us: int, is_put: bool) -> None:
    writer = writer_of(redis_client)
    writer.write(["i"], held_us, about(1.0))
    done = writer.write(["i"], written_us, about(2.0))
    assert (done.put, done.newer) == (int(is_put), int(not is_put))
    assert row(redis_client, "i")[field("about", "price")] == stored(2.0 if is_put else 1.0)


@pytest.mark.parametrize("held", [b"\x08", b"rubbish", b"\x08" + b"\xff" * 9 + b"\x01", b"\x08" + b"\x80" * 40])
def test_a_damaged_or_negative_time_is_older_than_any(redis_client: redis.Redis, held: bytes) -> None:
    command(redis_client, "HSET", entity_key(PLAN.entities[1], "shop", "i"), b"_ts:about", held)
    assert writer_of(redis_client).write(["i"], 1, about(1.0)).put == 1
    assert row(redis_client, "i")[b"_ts:about"] == b"\x10\xe8\x07"


def test_writers_beside_each_other_end_at_the_newest_row(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    """Each writes all versions of 40 rows in an order of its own, in batches of its own, with repetitions."""
    versions, items = 30, [f"i{number}" for number in range(40)]

    def write(seed: int) -> None:
        rng = random.Random(seed)
        todo = [(item, version) for item in items for version in range(versions)] * 2
        rng.shuffle(todo)
        with connect(redis_server.url) as client:
            writer = writer_of(client)
            while todo:
                size = rng.randint(1, 500)
                part, todo = todo[:size], todo[size:]
                writer.write(
                    [item for item, _ in part],
                    [NOW_MS * 1000 + version for _, version in part],
                    {
                        "price": [float(version) for _, version in part],
                        "category": [f"c{version}" for _, version in part],
                        "url": [None] * len(part),
                    },
                )

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for item in items:
        found = row(redis_client, item)
        assert found[field("about", "price")] == stored(float(versions - 1))
        assert found[field("about", "category")] == stored(f"c{versions - 1}")


def test_keys_live_as_long_as_feast_lets_them(redis_client: redis.Redis) -> None:
    key = entity_key(PLAN.entities[1], "shop", "i")
    writer_of(redis_client).write(["i"], 2, about(1.0))
    assert command(redis_client, "TTL", key) == -1
    writer = writer_of(redis_client, key_ttl_s=100)
    writer.write(["i"], 1, about(1.0))
    assert command(redis_client, "TTL", key) == -1, "a row that stays out prolongs nothing"
    writer.write(["i"], 3, about(1.0))
    assert 0 < command(redis_client, "TTL", key) <= 100


def test_many_rows_are_written_whole(redis_client: redis.Redis) -> None:
    count = 30_011
    items = [f"i{number}" for number in range(count)]
    columns: dict[str, list[Any]] = {
        "price": [float(n) for n in range(count)],
        "category": ["a"] * count,
        "url": ["b"] * count,
    }
    assert writer_of(redis_client).write(items, 5, columns).put == count
    assert command(redis_client, "DBSIZE") == count
    assert row(redis_client, items[-1])[field("about", "price")] == stored(float(count - 1))


def test_no_rows_are_no_work(redis_client: redis.Redis) -> None:
    done = writer_of(redis_client).write([], 5, {"price": [], "category": [], "url": []})
    assert (done.put, done.newer) == (0, 0)


@pytest.mark.parametrize(
    ("keys", "event_us", "columns", "says"),
    [
        (["i"], -1, about(1.0), "event time -1"),
        (["i"], [1, 2], about(1.0), "'event_us': 2"),
        (["i", "j"], 1, about(1.0), "columns of other lengths"),
        (["i"], 1, {"price": [1.0]}, r"features \['price'\]: give all of \['category', 'price', 'url'\]"),
        (["i"], 1, about(1.0) | {"more": [1]}, "more"),
        (["i"], 1, about(1.0) | {"category": [7]}, "value 7 is no STRING"),
        (["i"], 1, about(1.0) | {"price": ["x"]}, "value 'x' is no FLOAT"),
        (["\ud800"], 1, about(1.0), "entity key"),
    ],
)
def test_what_cannot_be_written_is_refused_whole(
    redis_client: redis.Redis, keys: list[str], event_us: Any, columns: dict[str, list[Any]], says: str
) -> None:
    with pytest.raises(InvalidInputError, match=says):
        writer_of(redis_client).write(keys, event_us, columns)
    assert command(redis_client, "DBSIZE") == 0


def test_a_view_that_the_plan_lacks_is_refused(redis_client: redis.Redis) -> None:
    with pytest.raises(InvalidInputError, match="lacks the view 'mood'"):
        OnlineWriter(WritePlan(PLAN), "mood", redis_client)


def test_a_key_of_another_type_is_an_error_and_the_connection_goes_on(redis_client: redis.Redis) -> None:
    command(redis_client, "SET", entity_key(PLAN.entities[1], "shop", "i"), b"text")
    writer = writer_of(redis_client)
    with pytest.raises(StoreError, match="write rows of about"):
        writer.write(["i"], 1, about(1.0))
    assert writer.write(["j"], 1, about(1.0)).put == 1


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


def test_a_restarted_redis_is_written_to_and_a_stopped_one_is_unavailable(own_server: EmbeddedRedis) -> None:
    client = connect(own_server.url, timeout_s=1.0, retries=0)
    writer = writer_of(client)
    assert writer.write(["i"], 1, about(1.0)).put == 1
    own_server.restart()
    assert writer.write(["i"], 2, about(2.0)).put == 1
    own_server.stop()
    with pytest.raises(UnavailableError, match="write rows of about"):
        writer.write(["i"], 3, about(3.0))
    client.close()


def test_a_write_plan_survives_its_file() -> None:
    plan = WritePlan(PLAN, 7)
    assert WritePlan.from_json(plan.to_json()) == plan
    for damaged in (b"", b"{}", plan.to_json().replace(b'"key_ttl_s": 7', b'"key_ttl_s": -7')):
        with pytest.raises(FormatError, match="backdrop features"):
            WritePlan.from_json(damaged)
    with pytest.raises(FormatError, match="version 9"):
        WritePlan.from_json(plan.to_json().replace(b'"version": 1,\n  "key_ttl_s"', b'"version": 9,\n  "key_ttl_s"'))
