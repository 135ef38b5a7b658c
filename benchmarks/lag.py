"""From a fact appended to a pack that holds it, seen where a server looks, under steady traffic on Prism."""

import asyncio
import time
from collections.abc import Iterator, Mapping

import numpy as np

from benchmarks.job import bench, cpu_s, learner, settings_of, wait_for
from benchmarks.report import Row, at_most
from benchmarks.traffic import Steady
from contracts import SystemClock
from demo.measure import descendants
from serving.metrics import Metrics
from serving.refresh import PackTable, PolicyTable, Refresher
from stores.connect import connect_async
from stores.pack_reader import AsyncPackStore
from stores.policy_store import AsyncPolicyStore

PACKAGES = ("apache-beam", "numpy", "pyarrow")

RATE = 2_000
SECONDS = 90.0
LIMIT_S = 2.0

_PROBES_A_SECOND = 4.0
# The first facts wait for the job to start.
_WARM_UP_S = 10.0
_REFRESH_S = 1.0


async def watch(url: str, seconds: float) -> dict[str, float]:
    """Keep packs as a server does, for ``seconds``; returns when each arm was first in one (monotonic seconds)."""
    seen: dict[str, float] = {}
    client = connect_async(url)
    store, metrics = AsyncPackStore(client), Metrics()
    packs = PackTable(store, PolicyTable(AsyncPolicyStore(client)), metrics, SystemClock())

    async def refresh() -> None:
        await packs.refresh()
        now = time.monotonic()
        for pack in packs.packs.values():
            for arm in pack.model.arms:
                seen.setdefault(arm, now)

    refresher = Refresher("packs", refresh, _REFRESH_S, metrics)

    async def listen() -> None:
        async for _ in store.subscribe():
            refresher.hurry()

    tasks = [asyncio.create_task(refresher.run()), asyncio.create_task(listen())]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.aclose()
    return seen


def lags(appended: Mapping[str, float], seen: Mapping[str, float], since: float, until: float) -> list[float]:
    """Seconds that each probe appended in the span took; infinite where it never came."""
    return [seen.get(arm, np.inf) - at for arm, at in appended.items() if since <= at <= until]


def rows() -> Iterator[Row]:
    """The figures."""
    with bench() as place, learner(place, settings_of()) as pid:
        with Steady(place.log, RATE, probes_a_second=_PROBES_A_SECOND) as traffic:
            wait_for("the first facts", lambda: place.store.facts() != {})
            pids = descendants(pid)
            time.sleep(_WARM_UP_S)
            began, before_s = time.monotonic(), sum(map(cpu_s, pids))
            # Probes of the last seconds may still be on their way: they are not asked about.
            seen = asyncio.run(watch(place.url, SECONDS))
            cores = (sum(map(cpu_s, pids)) - before_s) / (time.monotonic() - began)
            found = lags(traffic.probes, seen, began, began + SECONDS - 5 * LIMIT_S)
        note = f"{len(found)} probes in {SECONDS:.0f} s; {cores:.2f} cores by worker and Prism"
        middle, high, most = (float(np.quantile(found, share)) for share in (0.5, 0.95, 1.0))
        name = f"fact appended to pack served, {RATE:,} facts/s"
        yield Row(f"{name}, p50", middle, "s")
        yield at_most(f"{name}, p95", high, "s", LIMIT_S, note=note)
        yield Row(f"{name}, longest", most, "s")
