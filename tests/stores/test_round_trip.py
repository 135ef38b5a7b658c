"""The connection that many readers share: order, refusals, ends, limits."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
import redis.asyncio

from contracts import StoreError, UnavailableError
from stores import EmbeddedRedis, connect, connect_async
from stores.connect import command
from stores.round_trip import MAX_WAITING, Wire, pack_command


def get(key: str) -> bytes:
    return pack_command(b"GET", key.encode())


def connections_that_get(client: redis.Redis) -> int:
    """How many connections have last sent a GET."""
    listed: list[dict[str, str]] = command(client, "CLIENT LIST")
    return sum(each["cmd"] == "get" for each in listed)


@pytest.fixture
async def client(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> AsyncIterator[redis.asyncio.Redis]:
    for number in range(200):
        command(redis_client, "SET", f"k{number}", f"v{number}" * (1 + number * 50))
    client = connect_async(redis_server.url, timeout_s=5)
    yield client
    await client.aclose()


def expected(*numbers: int) -> list[bytes]:
    return [f"v{number}".encode() * (1 + number * 50) for number in numbers]


async def test_everyone_gets_their_own_replies_over_one_connection(
    client: redis.asyncio.Redis, redis_client: redis.Redis
) -> None:
    wire = Wire(client)
    asked = [[(first + step) % 200 for step in range(first % 7)] for first in range(200)]
    found = await asyncio.gather(*(wire.ask([get(f"k{number}") for number in each], "read") for each in asked))
    assert found == [expected(*each) for each in asked]
    assert connections_that_get(redis_client) == 1


async def test_a_refused_command_is_its_askers_alone(client: redis.asyncio.Redis, redis_client: redis.Redis) -> None:
    command(redis_client, "HSET", "hash", "a", "b")
    wire = Wire(client)
    good, bad, also_good = await asyncio.gather(
        wire.ask([get("k1")], "read"),
        wire.ask([get("k2"), get("hash"), get("k3")], "read the odd one"),
        wire.ask([get("k4")], "read"),
        return_exceptions=True,
    )
    assert (good, also_good) == (expected(1), expected(4))
    assert isinstance(bad, StoreError)
    assert "could not read the odd one: Redis refused: WRONGTYPE" in str(bad)


async def test_a_killed_connection_is_renewed_once_for_all_who_ask(
    client: redis.asyncio.Redis, redis_client: redis.Redis
) -> None:
    wire = Wire(client)
    for _ in range(5):
        await wire.ask([get("k0")], "read")
        command(redis_client, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        found = await asyncio.gather(*(wire.ask([get(f"k{number}")], "read") for number in range(60)))
        assert found == [expected(number) for number in range(60)]
    assert connections_that_get(redis_client) == 1


async def test_a_caller_that_gives_up_takes_nobodys_reply(client: redis.asyncio.Redis) -> None:
    wire = Wire(client)
    for rounds in range(1, 8):
        tasks = [asyncio.create_task(wire.ask([get(f"k{number}")] * 3, "read")) for number in range(20)]
        for _ in range(rounds):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        found = await asyncio.gather(*tasks[1::2])
        assert found == [expected(number) * 3 for number in range(1, 20, 2)]


async def test_a_closed_client_fails_who_waits_and_opens_again(
    client: redis.asyncio.Redis, redis_client: redis.Redis
) -> None:
    wire = Wire(client)
    await wire.ask([get("k0")], "read")
    command(redis_client, "CLIENT", "PAUSE", "500", "ALL")
    waiting = asyncio.create_task(wire.ask([get("k0")], "read"))
    await asyncio.sleep(0)
    await client.aclose()
    # Asked once more, over a connection of its own.
    assert await waiting == expected(0)
    assert await wire.ask([get("k1")], "read") == expected(1)


async def test_a_redis_that_hangs_ends_all_who_wait_and_no_more_than_the_limit_wait(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        client = connect_async(server.url, timeout_s=0.5)
        wire = Wire(client)
        await wire.ask([get("k0")], "read")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            asked = [asyncio.create_task(wire.ask([get("k0")], "read")) for _ in range(MAX_WAITING + 3)]
            ended = await asyncio.gather(*asked, return_exceptions=True)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert {type(each) for each in ended} == {UnavailableError}
        texts = [str(each) for each in ended]
        assert sum("no reply within 0.5 s" in text for text in texts) == MAX_WAITING
        assert sum(f"{MAX_WAITING} requests wait" in text for text in texts) == 3
        assert await wire.ask([get("k0")], "read") == [None]
        await client.aclose()


async def test_passwords_and_databases_are_the_clients(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        with connect(server.url) as plain:
            command(plain, "CONFIG", "SET", "requirepass", "secret")
        url = server.url.replace("//", "//:secret@").removesuffix("/0") + "/3"
        with connect(url) as writer:
            command(writer, "SET", "here", "three")
        client = connect_async(url, timeout_s=5)
        assert await Wire(client).ask([get("here")], "read") == [b"three"]
        await client.aclose()
        wrong = connect_async(url.replace("secret", "guess"), timeout_s=5)
        with pytest.raises(StoreError):
            await Wire(wrong).ask([get("here")], "read")
        await wrong.aclose()
        with connect(url) as plain:
            # So that the server can be ended as it was begun.
            command(plain, "CONFIG", "SET", "requirepass", "")


async def test_messages_that_nobody_asked_for_are_passed_over(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    client = redis.asyncio.Redis.from_url(redis_server.url, protocol=3)
    wire = Wire(client)
    await wire.ask([pack_command(b"CLIENT", b"TRACKING", b"ON", b"BCAST")], "track")
    for number in range(20):
        command(redis_client, "SET", "watched", number)
        assert await wire.ask([get("watched")], "read") == [str(number).encode()]
    await client.aclose()
