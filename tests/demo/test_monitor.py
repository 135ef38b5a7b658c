import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from demo.monitor import Folded, FoldedReader, LagProbe, Monitor, Snapshot
from demo.shoppers import Ledger
from demo.visits import Visits
from stores import Delta, EmbeddedRedis, StatisticsStore, connect


def folded(facts: list[int], generation: list[int]) -> Folded:
    return Folded(np.array(facts), np.array(generation))


def test_lag_runs_from_acknowledged_to_the_served_generation_that_holds_the_facts() -> None:
    probe = LagProbe(1)
    probe.step(0.0, np.array([10]), folded([0], [1]), np.array([1]))
    probe.step(0.5, np.array([20]), folded([9], [2]), np.array([2]))
    assert probe.latest_s is None
    probe.step(1.0, np.array([30]), folded([12], [3]), np.array([2]))
    assert probe.latest_s is None
    probe.step(1.5, np.array([40]), folded([25], [4]), np.array([3]))
    assert probe.lags_s == [1.5]


def test_categories_are_probed_on_their_own() -> None:
    probe = LagProbe(2)
    probe.step(0.0, np.array([5, 5]), folded([0, 0], [0, 0]), np.array([0, 0]))
    probe.step(1.0, np.array([5, 5]), folded([5, 0], [1, 0]), np.array([1, 0]))
    probe.step(3.0, np.array([5, 5]), folded([5, 5], [1, 1]), np.array([1, 1]))
    assert probe.lags_s == [1.0, 3.0]
    assert probe.latest_s == 2.0


def test_a_fact_that_never_counts_does_not_stop_the_probe() -> None:
    probe = LagProbe(1)
    probe.step(0.0, np.array([5]), folded([0], [0]), np.array([0]))
    probe.step(100.0, np.array([9]), folded([4], [1]), np.array([1]))
    probe.step(101.0, np.array([9]), folded([9], [2]), np.array([2]))
    assert probe.lags_s == [1.0]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("redis")
    with EmbeddedRedis(folder) as server:
        yield server.url


def test_folded_facts_are_read_from_the_store(redis_url: str) -> None:
    client = connect(redis_url)
    store = StatisticsStore(client, "main")
    store.put_deltas("chairs", [Delta(0, 0, 7, b"x"), Delta(10, 1, 5, b"y")])
    found = FoldedReader(client, "main", ["chairs", "lamps"]).read()
    assert found.facts.tolist() == [12, 0]
    # Each delta taken raises the generation by one.
    assert found.generation.tolist() == [2, 0]
    client.close()


async def test_monitor_turns_a_ledger_into_snapshots(redis_url: str) -> None:
    client = connect(redis_url)
    StatisticsStore(client, "other").put_deltas("chairs", [Delta(0, 0, 3, b"x")])
    one = np.zeros((4, 2), dtype=np.int64)
    no = np.zeros((4, 2), dtype=np.bool_)
    visits = Visits(one[:, 0], one[:, 0], one, one.astype(float), ~no, one.astype(float), one.astype(float), no, no)
    ledger = Ledger(visits, np.array([0]))
    ledger.decide(0, 1, 2)
    ledger.show(0)
    ledger.click(0)
    ledger.show(0)
    frames: list[Snapshot] = []
    task = asyncio.create_task(Monitor(ledger, FoldedReader(client, "other", ["chairs"]), frames.append).run())
    while not frames:
        await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    client.close()
    assert frames[0].decided == 1
    assert frames[0].total == 8
    assert frames[0].folded == 3
    assert frames[0].acknowledged == 2
    assert frames[0].shown.tolist() == [0, 0, 1]
    assert frames[0].clicks.tolist() == [0, 0, 1]
