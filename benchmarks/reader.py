"""The online reader against the Feast SDK and against Redis itself, on the same rows, interleaved."""

import asyncio
import os
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.report import Row, at_least, at_most
from contracts import CreativeRef, entity_key, keys
from stores import CreativeIndex, EmbeddedRedis, OnlineReader, connect, connect_async
from tests.feature_repo import profiles
from tests.feature_repo.agreement import differences, requests
from tests.feature_repo.shop import Shop, load_shop, load_wide

PACKAGES = ("feast", "redis", "hiredis", "uvloop", "numpy")

PLACEMENT = "square"
ARMS = 6
ROUNDS = 8
READS = 200
SDK_READS = {1: 40, 20: 20}
ASYNC_ROUNDS = 5
ASYNC_S = 1.5
AT_ONCE = 8

_MOST = {1: 1.6, 20: 1.7}
_WALL = {1: 5, 20: 9}
_CPU = {1: 8, 20: 15}
_ASYNC = 15


@dataclass(slots=True)
class Times:
    """Wall times of single calls, seconds, and CPU times of rounds of calls, seconds a call."""

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        """Median wall time, seconds."""
        return float(np.median(self.walls))

    @property
    def cpu(self) -> float:
        """Median over the rounds, seconds a call."""
        return float(np.median(self.cpus))

    async def round(self, calls: int, call: Callable[[], Awaitable[object]]) -> None:
        """Make ``calls`` calls, one after the other."""
        began_s = time.process_time()
        for _ in range(calls):
            at_s = time.perf_counter()
            await call()
            self.walls.append(time.perf_counter() - at_s)
        self.cpus.append((time.process_time() - began_s) / calls)


class Subject:
    """Random requests of ``count`` items, answered four ways; only Redis's replies are common to all."""

    def __init__(self, shop: Shop, count: int, client: Any) -> None:
        """Make a reader and an SDK on the shop's stores."""
        self._shop, self._count, self._client = shop, count, client
        self._reader = OnlineReader(shop.plan, shop.schema, client)
        self._store = shop.store()
        self._references = list(shop.schema.features)
        rng = np.random.default_rng(count)
        self._requests = cycle(
            [
                (f"u{rng.integers(profiles.USERS)}", [f"i{item}" for item in rng.permutation(profiles.ITEMS)[:count]])
                for _ in range(1_000)
            ]
        )
        self._entities = {entity.role: entity for entity in shop.plan.entities}
        self._fields = {
            role: [
                field
                for view in entity.views
                for field in (*(each.field for each in view.features), view.timestamp_field)
            ]
            for role, entity in self._entities.items()
        }

    async def ours(self) -> NDArray[np.float64]:
        """The whole read, with ages and creatives."""
        return await self.read(*next(self._requests))

    async def read(self, user: str, items: Sequence[str]) -> NDArray[np.float64]:
        """The vector by the reader."""
        return (await self._reader.read(user, items, PLACEMENT, self._shop.now_ms)).raw

    async def bare(self) -> object:
        """The same commands over the same connection, replies left as they come."""
        user, items = next(self._requests)
        return await self._reader.replies(user, items, PLACEMENT)

    async def pipeline(self) -> object:
        """The same commands through redis-py's own pipeline, replies left as they come."""
        user, items = next(self._requests)
        pipe = self._client.pipeline(transaction=False)
        for role, name in (("user", user), ("placement", PLACEMENT), *(("item", item) for item in items)):
            pipe.hmget(entity_key(self._entities[role], self._shop.plan.project, name), self._fields[role])
        for item in items:
            pipe.hgetall(keys.creatives(item, PLACEMENT))
        return await pipe.execute()

    async def sdk(self) -> NDArray[np.float64]:
        """The SDK's blocking call: features only, no ages, no creatives."""
        return self.vector(*next(self._requests))

    def vector(self, user: str, items: Sequence[str]) -> NDArray[np.float64]:
        """The vector by the SDK."""
        asked = self._asked(user, items)
        return self._to_vector(self._store.get_online_features(self._references, asked, full_feature_names=True))

    async def sdk_async(self) -> NDArray[np.float64]:
        """The SDK's asynchronous call."""
        asked = self._asked(*next(self._requests))
        return self._to_vector(
            await self._store.get_online_features_async(self._references, asked, full_feature_names=True)
        )

    def _asked(self, user: str, items: Sequence[str]) -> list[dict[str, str]]:
        return [{"user": user, "item": item, "placement": PLACEMENT} for item in items]

    def _to_vector(self, answer: Any) -> NDArray[np.float64]:
        columns = answer.to_dict()
        named = {name: columns[name.replace(":", "__")] for name in self._references}
        return self._shop.schema.raw(named)[0]

    async def check(self) -> None:
        """All that is compared must be the same vector."""
        for _ in range(50):
            user, items = next(self._requests)
            ours, theirs = await self.read(user, items), self.vector(user, items)
            np.testing.assert_array_equal(ours.astype(np.float32), theirs.astype(np.float32))


async def one_at_a_time(shop: Shop, count: int) -> dict[str, Times]:
    """Each way's times, in turns."""
    client = connect_async(shop.redis_url, timeout_s=5)
    subject = Subject(shop, count, client)
    await subject.check()
    ways: dict[str, tuple[int, Callable[[], Awaitable[object]]]] = {
        "bare": (READS, subject.bare),
        "ours": (READS, subject.ours),
        "pipeline": (READS // 4, subject.pipeline),
        "sdk": (SDK_READS[count], subject.sdk),
    }
    for calls, call in ways.values():
        await Times().round(calls // 2, call)
    found = {name: Times() for name in ways}
    for _ in range(ROUNDS):
        for name, (calls, call) in ways.items():
            await found[name].round(calls, call)
    await client.aclose()
    return found


@contextmanager
def one_core(pid: int) -> Iterator[None]:
    """Keep a process and this one on one core: what waking another core costs differs by machine, load and kernel."""
    before = os.sched_getaffinity(0)
    core = {min(before)}
    try:
        os.sched_setaffinity(pid, core)
        os.sched_setaffinity(0, core)
        yield
    finally:
        os.sched_setaffinity(0, before)
        os.sched_setaffinity(pid, before)


async def at_once(shop: Shop) -> tuple[float, float]:
    """Reads a second by ours and by the SDK's asynchronous call, 8 callers in one loop; medians of rounds in turns."""
    client = connect_async(shop.redis_url, timeout_s=5)
    subject = Subject(shop, 1, client)
    rates: dict[str, list[float]] = {"ours": [], "sdk": []}
    for _ in range(ASYNC_ROUNDS):
        for name, call in (("ours", subject.ours), ("sdk", subject.sdk_async)):
            rates[name].append(await _rate(call))
    await client.aclose()
    return float(np.median(rates["ours"])), float(np.median(rates["sdk"]))


async def _rate(call: Callable[[], Awaitable[object]]) -> float:
    began_s = time.perf_counter()

    async def caller() -> int:
        done = 0
        while time.perf_counter() - began_s < ASYNC_S:
            await call()
            done += 1
        return done

    done = sum(await asyncio.gather(*(caller() for _ in range(AT_ONCE))))
    return done / (time.perf_counter() - began_s)


def rows() -> Iterator[Row]:
    """The figures."""
    with warnings.catch_warnings(), TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as server:
        # Feast and what it imports warn of their own deprecations.
        warnings.simplefilter("ignore")
        yield from _agreement(_made(folder, "wide-repo"), _made(folder, "wide"), server.url)
        shop = load_shop(_made(folder, "shop"), server.url)
        _publish(server.url)
        for count in (1, 20):
            with one_core(server.pid or 0):
                found = uvloop.run(one_at_a_time(shop, count))
            yield from _speed(found, count)
        ours, theirs = uvloop.run(at_once(shop))
        yield Row(f"reads a second, {AT_ONCE} at a time in one event loop", ours, "reads/s")
        yield Row("the same by the SDK's asynchronous call", theirs, "reads/s")
        yield at_least("the one over the other", ours / theirs, "times", _ASYNC)


def _made(folder: str, name: str) -> Path:
    path = Path(folder) / name
    path.mkdir()
    return path


def _agreement(repo: Path, data: Path, url: str) -> Iterator[Row]:
    shop = load_wide(repo, data, url)
    for count, items in ((10_000, 1), (500, 20)):
        found, kinds = asyncio.run(differences(shop, requests(count, items, seed=items)))
        note = f"{len(shop.plan.references)} features of {len(kinds)} kinds; first: {found[0]}" if found else ""
        yield at_most(f"differences to the SDK, {count:,} × {items} items", len(found), "values", 0, note=note)


def _publish(url: str) -> None:
    refs = {
        f"arm-{arm}": CreativeRef(f"{arm:032x}", f"/media/creatives/{arm:032x}.jpg", 600, 600) for arm in range(ARMS)
    }
    with connect(url) as client:
        CreativeIndex(client).publish_all({(f"i{item}", PLACEMENT): refs for item in range(profiles.ITEMS)})


def _speed(found: Mapping[str, Times], count: int) -> Iterator[Row]:
    ours, bare, sdk = found["ours"], found["bare"], found["sdk"]
    name = f"read of 1 user × {count}"
    yield Row(f"{name}, p50", ours.p50 * 1e6, "µs", note=f"{ours.cpu * 1e6:.0f} µs of CPU; all on one core")
    yield at_most(f"{name} / bare replies, p50", ours.p50 / bare.p50, "times", _MOST[count], note=_us(bare))
    yield Row(
        f"{name} / redis-py's pipeline, p50", ours.p50 / found["pipeline"].p50, "times", note=_us(found["pipeline"])
    )
    yield at_least(f"Feast SDK / {name}, wall p50", sdk.p50 / ours.p50, "times", _WALL[count], note=_us(sdk))
    yield at_least(f"Feast SDK / {name}, CPU", sdk.cpu / ours.cpu, "times", _CPU[count])


def _us(times: Times) -> str:
    return f"{times.p50 * 1e6:.0f} µs, {times.cpu * 1e6:.0f} µs of CPU"
