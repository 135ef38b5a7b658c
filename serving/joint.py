"""Appends of requests that come in the same moment share one batch and one round trip."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from serving.facts import Signed


class JointAppends:
    """Joins single facts: those of one turn of the event loop, at most ``limit``, are appended at once."""

    def __init__(self, append: Callable[[Sequence[Signed]], Awaitable[list[Signed]]], *, limit: int) -> None:
        """``append`` takes facts, returns when the log has them, and returns those that cannot be encoded."""
        self._append = append
        self._limit = limit
        self._joining: list[Signed] = []
        self._task: asyncio.Task[list[Signed]] | None = None

    async def append(self, signed: Signed) -> bool:
        """Append a fact and return when the log has it; False if it cannot be encoded.

        Raises:
            StoreError: if the log did not confirm it in time (it may have it all the same).
        """
        if self._task is None or len(self._joining) >= self._limit:
            self._joining = []
            self._task = asyncio.create_task(self._send(self._joining))
        self._joining.append(signed)
        # Others wait for the same answer: one whose client has gone must not take it from them.
        return signed not in await asyncio.shield(self._task)

    async def _send(self, joined: list[Signed]) -> list[Signed]:
        # A task begins with the loop's next turn: by then all requests of this one have joined.
        if self._joining is joined:
            self._task = None
        return await self._append(joined)
