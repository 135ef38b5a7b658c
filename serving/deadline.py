"""A deadline for someone else's answer, which does not count our own queue."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

_ROUNDS = 4

_T = TypeVar("_T")


async def within(seconds: float, work: Awaitable[_T]) -> _T:
    """Return what ``work`` returns, or cancel it after ``seconds`` and raise TimeoutError.

    The work runs in the caller's own task: one more for each request costs more than the deadline. A busy event loop
    runs late: when the time is up the answer may lie in the socket, unread. So the loop gets a few more rounds, in
    each of which it reads what has come.
    """
    task = asyncio.current_task()
    if task is None:
        message = "within() needs a running task"
        raise RuntimeError(message)
    deadline = _Deadline(task)
    deadline.handle = deadline.loop.call_later(seconds, deadline.pass_by, _ROUNDS)
    try:
        return await work
    except asyncio.CancelledError:
        # Another cancellation on top of ours is the caller's.
        if deadline.passed and task.uncancel() <= deadline.cancelling:
            raise TimeoutError from None
        raise
    finally:
        deadline.handle.cancel()


class _Deadline:
    """One task's deadline: cancels the task, a few rounds of the loop after its time."""

    __slots__ = ("cancelling", "handle", "loop", "passed", "task")

    handle: asyncio.Handle

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self.task = task
        self.loop = task.get_loop()
        self.cancelling = task.cancelling()
        self.passed = False

    def pass_by(self, rounds: int) -> None:
        if rounds:
            self.handle = self.loop.call_soon(self.pass_by, rounds - 1)
        else:
            self.passed = True
            self.task.cancel()
