"""A client of the server, ``Client`` and ``AsyncClient``: one set of steps, taken with threads or with asyncio.

Needs the extra ``client`` only; nothing of the server is loaded.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from serving.bodies import (
    CreativeOut,
    DecideOut,
    DecisionOut,
    EventIn,
    EventOut,
    EventsOut,
    ItemIn,
    ModelOut,
)
from serving.client_steps import (
    Answer,
    AnswerError,
    BusyError,
    Call,
    ClientError,
    Pause,
    RefusedError,
    Steps,
    UnreachableError,
    ad_html,
    click,
    decide_steps,
    impression,
    send_steps,
    token_of,
)

__all__ = [
    "AnswerError",
    "AsyncClient",
    "BusyError",
    "Client",
    "ClientError",
    "CreativeOut",
    "DecideOut",
    "DecisionOut",
    "EventIn",
    "EventOut",
    "EventsOut",
    "ItemIn",
    "ModelOut",
    "RefusedError",
    "UnreachableError",
    "ad_html",
    "click",
    "impression",
    "token_of",
]

_T = TypeVar("_T")
_HEADERS = {"content-type": "application/json", "user-agent": "backdrop-client"}


class Client:
    """Asks a server; keeps connections, may be shared by threads. ``with Client(url) as client: …``."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 1.0,
        patience_s: float = 10.0,
        connections: int = 32,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """``timeout_s`` for each step of a request; ``patience_s`` of pauses before events are given up.

        ``draw`` gives the numbers from 0 to 1 that pauses are drawn with.
        """
        self._patience_s = patience_s
        self._draw = draw
        self._http = httpx2.Client(
            base_url=base_url, timeout=timeout_s, limits=_limits(connections), trust_env=False, headers=_HEADERS
        )

    def decide(
        self,
        user: str,
        placement: str,
        items: Sequence[str | ItemIn],
        *,
        only_arms: Sequence[str] | None = None,
        exclude_arms: Sequence[str] | None = None,
    ) -> DecideOut:
        """Decide on up to 100 items, among ``only_arms`` and without ``exclude_arms``.

        Raises:
            RefusedError: if the request is wrong, or nothing is known of the items.
            UnreachableError: if no answer came: show what you have.
        """
        return self._run(decide_steps(user, placement, items, only_arms, exclude_arms))

    def decide_one(self, user: str, placement: str, item: str | ItemIn) -> DecisionOut:
        """Decide on one item; raises as ``decide`` does."""
        return self.decide(user, placement, [item]).decisions[0]

    def send(self, events: Sequence[EventIn]) -> EventsOut:
        """Send up to 1,000 events; returns when the event log has those accepted.

        Raises:
            RefusedError: if none can be taken.
            BusyError, UnreachableError: if the log does not have them, or may: send the same batch again.
        """
        return self._run(send_steps(events, self._patience_s, self._draw))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[_T]) -> _T:
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._take(step)
                except UnreachableError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as done:
            result: _T = done.value
            return result

    def _take(self, step: Call | Pause) -> Answer | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            return _answer(self._http.post(step.path, content=step.body))
        except httpx2.HTTPError as error:
            raise _unreachable(self._http.base_url, error) from error


class AsyncClient:
    """``Client`` for asyncio. ``async with AsyncClient(url) as client: …``."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 1.0,
        patience_s: float = 10.0,
        connections: int = 32,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """As ``Client``."""
        self._patience_s = patience_s
        self._draw = draw
        self._http = httpx2.AsyncClient(
            base_url=base_url, timeout=timeout_s, limits=_limits(connections), trust_env=False, headers=_HEADERS
        )

    async def decide(
        self,
        user: str,
        placement: str,
        items: Sequence[str | ItemIn],
        *,
        only_arms: Sequence[str] | None = None,
        exclude_arms: Sequence[str] | None = None,
    ) -> DecideOut:
        """As ``Client.decide``."""
        return await self._run(decide_steps(user, placement, items, only_arms, exclude_arms))

    async def decide_one(self, user: str, placement: str, item: str | ItemIn) -> DecisionOut:
        """As ``Client.decide_one``."""
        return (await self.decide(user, placement, [item])).decisions[0]

    async def send(self, events: Sequence[EventIn]) -> EventsOut:
        """As ``Client.send``."""
        return await self._run(send_steps(events, self._patience_s, self._draw))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[_T]) -> _T:
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._take(step)
                except UnreachableError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as done:
            result: _T = done.value
            return result

    async def _take(self, step: Call | Pause) -> Answer | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return _answer(await self._http.post(step.path, content=step.body))
        except httpx2.HTTPError as error:
            raise _unreachable(self._http.base_url, error) from error


def _limits(connections: int) -> httpx2.Limits:
    # Kept for less time than the server keeps them, so that none is used that the server is about to close.
    return httpx2.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=10)


def _answer(response: httpx2.Response) -> Answer:
    return Answer(response.status_code, response.headers.get("retry-after", ""), response.content)


def _unreachable(url: object, error: httpx2.HTTPError) -> UnreachableError:
    return UnreachableError(f"no answer from {url}: {type(error).__name__} {error}".rstrip())
