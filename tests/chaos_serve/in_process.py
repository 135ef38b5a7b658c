"""The server's application without a socket, for bodies by the ten thousand."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from serving import ServerConfig, create_app
from serving.app import App
from tests.chaos_serve.client_faults import a_body
from tests.chaos_serve.place import Place

ROUTES = (("POST", "/v1/decide"), ("POST", "/v1/events"))


def bodies(place: Place, count: int = 3_000) -> str:
    """Random bodies, straight into the application of the place's server."""
    found = asyncio.run(_bodies(place.server.config, count))
    assert max(status for _, status in found) < 500, found
    told = ", ".join(f"{path} {status} × {times:,}" for (path, status), times in sorted(found.items()))
    return f"{count:,} bodies: {told}"


async def _bodies(config: ServerConfig, count: int) -> Counter[tuple[str, int]]:
    rng = random.Random(13)
    found: Counter[tuple[str, int]] = Counter()
    async with _alive(create_app(config)) as app:
        for number in range(count):
            method, path = ROUTES[number % len(ROUTES)]
            found[path, await _ask(app, method, path, a_body(rng))] += 1
    return found


async def _ask(app: App, method: str, path: str, body: bytes) -> int:
    statuses: list[int] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    await app(scope, receive, send)
    return statuses[0]


@asynccontextmanager
async def _alive(app: App) -> AsyncIterator[App]:
    orders: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    answers: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan"}, orders.get, answers.put))
    await orders.put({"type": "lifespan.startup"})
    assert (await answers.get())["type"] == "lifespan.startup.complete"
    try:
        yield app
    finally:
        await orders.put({"type": "lifespan.shutdown"})
        await life
