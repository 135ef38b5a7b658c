import asyncio
import inspect
import socket
import time

import pytest

from serving.deadline import within


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


@pytest.mark.parametrize("error", [None, ValueError("late, seen by nobody")])
async def test_late_work_goes_on_by_itself(error: Exception | None) -> None:
    ended = asyncio.Event()

    async def late() -> None:
        try:
            await answer(0.05, error)
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await within(0.01, late())
    assert not ended.is_set()
    await asyncio.wait_for(ended.wait(), 5)


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
