"""Ending tasks for certain, whatever they are in the middle of."""

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN_S = 0.1


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and return when all have ended; what they raise is theirs.

    Once is not enough: the Redis client sends under ``asyncio.wait_for``, which up to Python 3.11 forgets a
    cancellation that comes in the moment its work is done, and the task would go on for ever.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        done, running = await asyncio.wait(running, timeout=_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()
