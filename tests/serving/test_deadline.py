import asyncio
import inspect
import socket
import time

import pytest

from serving.deadline import within
from stores import EmbeddedRedis, connect, connect_async
from stores.connect import command
from stores.round_trip import Wire, pack_command


async def answer(after_s: float, error: Exception | None = None) -> str:
    await asyncio.sleep(after_s)
    if error is not None:
        raise error
    return "answer"


async def test_an_answer_in_time_is_returned() -> None:
    assert await within(5.0, answer(0.0)) == "answer"


async def test_an_error_in_time_is_raised() -> None:
    with pytest.raises(ValueError, match="mine"):
        await within(5.0, answer(0.0, ValueError("mine")))


async def test_late_work_is_cut_off_and_its_task_goes_on() -> None:
    work = answer(60.0)
    with pytest.raises(TimeoutError):
        await within(0.01, work)
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await within(5.0, answer(0.0)) == "answer"


async def test_a_deadline_inside_another_leaves_the_outer_one_alone() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            with pytest.raises(TimeoutError):
                await within(0.01, answer(60.0))
            await answer(60.0)


async def test_reads_past_the_deadline_cost_no_connection(shop_redis: EmbeddedRedis) -> None:
    client = connect_async(shop_redis.url)
    wire = Wire(client)
    [before] = await wire.ask([pack_command(b"CLIENT", b"ID")], "ask")
    with connect(shop_redis.url) as other:
        command(other, "CLIENT", "PAUSE", 100, "ALL")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await within(0.01, wire.ask([pack_command(b"PING")], "ask"))
    assert await wire.ask([pack_command(b"CLIENT", b"ID")], "ask") == [before]
    await client.aclose()


async def test_an_answer_that_lay_there_while_the_loop_was_busy_is_taken() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)

    def be_busy() -> None:
        theirs.send(b"answer\n")
        time.sleep(0.05)

    try:
        asyncio.get_running_loop().call_later(0.005, be_busy)
        assert await within(0.01, reader.readline()) == b"answer\n"
    finally:
        writer.close()
        await writer.wait_closed()
        theirs.close()


async def test_who_stops_waiting_stops_the_work() -> None:
    work = answer(60.0)
    waiting = asyncio.create_task(within(60.0, work))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
