"""Shoppers at work: decisions, pixels, clicks and server-side events, and what the server answered to each."""

import asyncio
import threading
import uuid
from collections import Counter
from contextlib import AbstractAsyncContextManager
from itertools import count
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.serving.world import ITEMS, USERS

IMPRESSION, CLICK = 0, 1
NO_ANSWER = 0
TIMEOUT_S = 15.0
SERVED = ("decide", "impression", "click")

# (decision id, kind): what a fact is known by.
Fact = tuple[bytes, int]


class Traffic:
    """``shoppers`` at once, each waiting ``pause_s`` between its steps; runs from entering until leaving.

    Of three decisions two are loaded and clicked by the page, one is told by a server in /v1/events: no fact comes
    both ways. ``answers`` counts (route, status), 0 where the connection broke; ``flags`` those of decisions;
    ``told`` are the facts of pixels and clicks that were answered, ``accepted`` those that /v1/events accepted.
    """

    def __init__(self, base_url: str, *, shoppers: int = 3, pause_s: float = 0.0) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.flags: Counter[str] = Counter()
        self.told: set[Fact] = set()
        self.accepted: set[Fact] = set()
        self.broken: list[str] = []
        self._base_url = base_url
        self._shoppers = shoppers
        self._pause_s = pause_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="traffic")

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; answers that are under way are waited for."""
        self._ending.set()
        self._thread.join()

    @property
    def decisions(self) -> int:
        """Requests for a decision that got one."""
        return self.answers["decide", 200]

    @property
    def server_errors(self) -> dict[tuple[str, int], int]:
        """Answers to decisions, pixels and clicks that no page should have to handle: 5xx, or none at all."""
        return {
            (route, status): times
            for (route, status), times in self.answers.items()
            if route in SERVED and (status >= 500 or status == NO_ANSWER)
        }

    async def _run(self) -> None:
        limit = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=limit) as session:
            await asyncio.gather(*(self._shop(session, number) for number in range(self._shoppers)))

    async def _shop(self, session: aiohttp.ClientSession, number: int) -> None:
        users, items = list(USERS), list(ITEMS)
        for turn in count(number):
            if self._ending.is_set():
                return
            asked = {"user": users[turn % len(users)], "placement": "story", "item": {"id": items[turn % len(items)]}}
            status, answer = await self._ask("decide", session.post(f"{self._base_url}/v1/decide", json=asked))
            if status == 200:
                await self._look(session, answer, by_server=turn % 3 == 0)
            await asyncio.sleep(self._pause_s)

    async def _look(self, session: aiohttp.ClientSession, answer: Any, *, by_server: bool) -> None:
        decision = answer["decisions"][0]
        self.flags.update((*answer["flags"], *decision["flags"]))
        if not decision["impression_url"]:
            return
        decision_id = uuid.UUID(decision["decision_id"]).bytes
        if by_server:
            token = decision["impression_url"].rpartition("/")[2]
            events = {"events": [{"token": token, "kind": kind} for kind in ("impression", "click")]}
            status, told = await self._ask("events", session.post(f"{self._base_url}/v1/events", json=events))
            if status == 202:
                outcomes = zip((IMPRESSION, CLICK), told["events"], strict=True)
                self.accepted |= {(decision_id, kind) for kind, event in outcomes if event["status"] == "accepted"}
            return
        for route, kind, url in (
            ("impression", IMPRESSION, decision["impression_url"]),
            ("click", CLICK, decision["click_url"]),
        ):
            status, _ = await self._ask(route, session.get(url, allow_redirects=False))
            if status in {200, 204, 302}:
                self.told.add((decision_id, kind))

    async def _ask(self, route: str, request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> tuple[int, Any]:
        try:
            async with request as reply:
                body = await reply.read()
                self.answers[route, reply.status] += 1
                return reply.status, await reply.json() if body.startswith(b"{") else None
        except (aiohttp.ClientError, TimeoutError) as error:
            self.answers[route, NO_ANSWER] += 1
            self.broken.append(f"{route}: {error!r}")
            return NO_ANSWER, None
