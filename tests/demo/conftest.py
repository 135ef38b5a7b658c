import asyncio
import collections
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from contracts import Placement, Product, Prompt
from demo.world import AFFINITIES, World

TAGS = sorted({tag for liked in AFFINITIES.values() for tag in liked})


@dataclass(frozen=True, slots=True)
class SmallShop:
    products: Sequence[Product]
    prompts: Sequence[Prompt]
    placements: Sequence[Placement]


def small_shop(categories: int = 4, items: int = 3, prompts: int = 5) -> SmallShop:
    rng = np.random.default_rng(11)
    return SmallShop(
        products=[
            Product(f"item-{c}-{k}", f"category-{c}", "Title", "Text", 20.0 + 10 * k, "brand", "photo.jpg")
            for c in range(categories)
            for k in range(items)
        ],
        prompts=[
            Prompt(
                f"arm-{c}-{k}",
                f"category-{c}",
                "text",
                tags={slot: str(rng.choice(TAGS)) for slot in ("surface", "scene", "light", "mood")},
            )
            for c in range(categories)
            # Categories differ in their number of arms: rows of the world are then padded.
            for k in range(prompts + c % 2)
        ],
        placements=[
            Placement("banner", 970, 250, "top"),
            Placement("square", 600, 600, "feed"),
            Placement("tall", 300, 600, "sidebar"),
        ],
    )


@pytest.fixture
def shop() -> SmallShop:
    return small_shop()


class FakeServer:
    def __init__(self, world: World, fail_decides: bool = False) -> None:
        self.world = world
        self.fail_decides = fail_decides
        self.requests: collections.Counter[str] = collections.Counter()
        self.impressions: collections.Counter[str] = collections.Counter()
        self.clicks: collections.Counter[str] = collections.Counter()
        self.asked: list[dict[str, object]] = []
        self.arms: dict[str, str] = {}
        self.close_each = False
        self._random = random.Random(0)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, _ = head.split(b" ", 2)
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line[15:])
                body = await reader.readexactly(length)
                status, answer, headers = self._answer(method.decode(), path.decode(), body)
                closing = "connection: close\r\n" if self.close_each else ""
                writer.write(
                    f"HTTP/1.1 {status} X\r\n{headers}{closing}content-length: {len(answer)}\r\n\r\n".encode() + answer
                )
                if self.close_each:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._writers.discard(writer)

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes, str]:
        if method == "POST" and path == "/v1/decide":
            self.requests["decide"] += 1
            return (503, b"{}", "") if self.fail_decides else (200, self._decide(json.loads(body)), "")
        token = path.rsplit("/", 1)[1]
        if path.startswith("/v1/i/"):
            self.impressions[token] += 1
            return 200, b"GIF", "content-type: image/gif\r\n"
        if path.startswith("/v1/c/"):
            self.clicks[token] += 1
            return 302, b"", "location: https://shop.example/\r\n"
        return 404, b"", ""

    def _decide(self, asked: dict[str, object]) -> bytes:
        self.asked.append(asked)
        decisions = []
        items = asked["items"]
        assert isinstance(items, list)
        for item in items:
            arms = self.world.arms[self.world.items.index(item["id"])]
            token = f"t{len(self.arms)}"
            self.arms[token] = self._random.choice(arms[1:])
            decisions.append(
                {
                    "item": item["id"],
                    "decision_id": token,
                    "arm": self.arms[token],
                    "policy": "random",
                    "impression_url": f"{self.url}/v1/i/{token}",
                    "click_url": f"{self.url}/v1/c/{token}",
                    "creative": None,
                    "flags": [],
                }
            )
        model = {"lineage": "main", "generation": len(self.asked), "age_ms": 5}
        return json.dumps({"decisions": decisions, "model": model, "flags": []}).encode()


@pytest.fixture
def fake_server() -> type[FakeServer]:
    return FakeServer
