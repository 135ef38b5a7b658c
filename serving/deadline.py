"""A deadline for someone else's answer, which costs neither the connection nor counts our own queue."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_ROUNDS = 4

_T = TypeVar("_T")


async def within(seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
    """Return what ``work`` returns, or raise TimeoutError after ``seconds`` while it goes on by itself.

    A read that is cut off leaves a connection that must be closed and made anew: dear at the very moment when the
    other side is slow. Left alone, it takes its late answer off the connection, or fails by its own timeout.
    A busy event loop runs late: when the time is up the answer may lie in the socket, unread. So the loop gets a
    few more rounds, in each of which it reads what has come.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait((task,), timeout=seconds)
        for _ in range(_ROUNDS):
            if task.done():
                return task.result()
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        task.cancel()
        raise
    task.add_done_callback(_forget)
    raise TimeoutError


def _forget(task: asyncio.Task[Any]) -> None:
    """Look at a late failure, so that asyncio does not report it as unseen: the request was answered without."""
    if not task.cancelled():
        task.exception()
