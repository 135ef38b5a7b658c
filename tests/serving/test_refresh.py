import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from contracts import (
    Bias,
    ContextSchema,
    FormatError,
    ManualClock,
    StoreError,
    TrafficPolicy,
    UnavailableError,
)
from learner import ArmStats, LinUCB
from serving.metrics import Metrics
from serving.refresh import MAX_WANTED, ROUNDS_UNTIL_AGAIN, ClockCheck, PackTable, PolicyTable, Refresher, read_pack


@dataclass(frozen=True)
class Arm:
    status: str


class Policies:
    def __init__(self) -> None:
        self.traffic = TrafficPolicy(version=2)
        self.states: dict[str, dict[str, Arm]] = {}
        self.asked: list[str] = []
        self.away = False
        self.refused: dict[str, FormatError | StoreError] = {}

    async def get(self) -> TrafficPolicy:
        if self.away:
            message = "away"
            raise UnavailableError(message)
        return self.traffic

    async def arms_of(self, categories: Sequence[str]) -> list[Mapping[str, Arm] | FormatError | StoreError]:
        self.asked += categories
        for error in self.refused.values():
            if isinstance(error, UnavailableError):
                raise error
        return [self.refused.get(category, self.states.get(category, {})) for category in categories]


class Packs:
    def __init__(self) -> None:
        self.active: str | None = "main"
        self.stored: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.fetched = 0
        self.refused = ""

    async def active_lineage(self) -> str | None:
        return self.active

    async def categories(self, lineage: str) -> tuple[str, ...]:
        return tuple(sorted(category for category, of in self.stored if of == lineage))

    async def generations(self, categories: Sequence[str], lineage: str) -> list[int | None]:
        return [self.stored[category, lineage][0] for category in categories]

    async def get_pack(self, category: str, lineage: str, held: int) -> bytes | None:
        if category == self.refused:
            message = "WRONGTYPE"
            raise StoreError(message)
        generation, blob = self.stored[category, lineage]
        if generation == held:
            return None
        self.fetched += 1
        return blob

    async def subscribe(self) -> AsyncIterator[object]:
        yield None


def a_pack(generation: int, lineage: str = "main", broken: bool = False) -> tuple[int, bytes]:
    model = LinUCB.fit({"oak": ArmStats.zero(2), "tile": ArmStats.zero(2)})
    if broken:
        model = replace(model, theta=np.full_like(model.theta, np.nan))
    return generation, model.to_arrow(lineage=lineage, schema_hash="aa", generation=generation)


@pytest.fixture
def packs() -> tuple[Packs, PackTable, Metrics]:
    source, metrics = Packs(), Metrics()
    return source, PackTable(source, PolicyTable(Policies()), metrics, ManualClock()), metrics


async def test_changed_packs_are_taken_and_others_left(packs: tuple[Packs, PackTable, Metrics]) -> None:
    source, table, _ = packs
    source.stored = {("sofas", "main"): a_pack(1), ("lamps", "main"): a_pack(1)}
    await table.refresh()
    before = table.get("lamps")
    source.stored["sofas", "main"] = a_pack(2)
    await table.refresh()
    assert source.fetched == 3
    assert table.get("lamps") is before
    assert (table.packs["sofas"].model.generation, table.lineage) == (2, "main")


async def test_the_records_pack_is_taken_also_where_its_generation_fell(
    packs: tuple[Packs, PackTable, Metrics],
) -> None:
    source, table, _ = packs
    source.stored = {("sofas", "main"): a_pack(500)}
    await table.refresh()
    source.stored = {("sofas", "main"): a_pack(3)}
    await table.refresh()
    assert table.packs["sofas"].model.generation == 3


@pytest.mark.parametrize("blob", [b"", b"not arrow", a_pack(9, broken=True)[1], a_pack(9, "other")[1]])
async def test_a_malformed_pack_is_counted_and_the_last_good_one_stays(
    packs: tuple[Packs, PackTable, Metrics], blob: bytes
) -> None:
    source, table, metrics = packs
    source.stored = {("sofas", "main"): a_pack(1)}
    await table.refresh()
    source.stored = {("sofas", "main"): (9, blob), ("lamps", "main"): a_pack(4)}
    await table.refresh()
    assert {category: pack.model.generation for category, pack in table.packs.items()} == {"sofas": 1, "lamps": 4}
    assert b'backdrop_pack_refreshes_total{outcome="malformed"} 1.0' in metrics.render()


async def test_a_malformed_pack_is_fetched_again_when_it_changed_and_now_and_then(
    packs: tuple[Packs, PackTable, Metrics],
) -> None:
    source, table, metrics = packs
    source.stored = {("sofas", "main"): (9, b"not arrow"), ("lamps", "main"): a_pack(1)}
    for _ in range(ROUNDS_UNTIL_AGAIN + 1):
        await table.refresh()
    assert source.fetched == 2
    await table.refresh()
    assert source.fetched == 3
    source.stored["sofas", "main"] = (10, b"not arrow either")
    await table.refresh()
    assert source.fetched == 4
    assert b'backdrop_pack_refreshes_total{outcome="malformed"} 3.0' in metrics.render()
    # Another lineage's pack of that generation is another pack; so is one that was taken away and put back.
    source.stored["sofas", "new"] = a_pack(10, "new")
    source.active = "new"
    await table.refresh()
    assert set(table.packs) == {"sofas"}
    source.active = "main"
    source.stored["sofas", "main"] = (10, b"not arrow either")
    await table.refresh()
    gone = source.stored.pop(("sofas", "main"))
    await table.refresh()
    source.stored["sofas", "main"] = (gone[0], a_pack(10)[1])
    await table.refresh()
    assert table.packs["sofas"].model.generation == 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"theta": np.zeros((2, 3), np.float32), "inverse": np.zeros((2, 6), np.float32)},
            "d = 3, its schema .* has 1",
        ),
        ({"theta": np.full((2, 1), 1e31, np.float32)}, "not finite, or beyond"),
        ({"inverse": np.full((2, 1), np.inf, np.float32)}, "not finite, or beyond"),
        ({"ridge": 0.0}, "not finite, or beyond"),
        ({"ridge": float("nan")}, "not finite, or beyond"),
    ],
)
def test_a_pack_whose_scores_could_fail_is_refused(change: dict[str, Any], words: str) -> None:
    schema = ContextSchema((Bias(),))
    model = replace(LinUCB.fit({"oak": ArmStats.zero(1), "tile": ArmStats.zero(1)}), schema_hash=schema.hash)
    assert read_pack(model.to_arrow(lineage="main"), "main", schema).d == 1
    with pytest.raises(FormatError, match=words):
        read_pack(replace(model, **change).to_arrow(lineage="main"), "main", schema)


async def test_one_category_that_cannot_be_read_holds_up_no_other(packs: tuple[Packs, PackTable, Metrics]) -> None:
    source, table, metrics = packs
    source.stored = {("beds", "main"): a_pack(1), ("sofas", "main"): a_pack(1)}
    source.refused = "beds"
    await table.refresh()
    assert set(table.packs) == {"sofas"}
    assert b'backdrop_pack_refreshes_total{outcome="malformed"} 1.0' in metrics.render()


async def test_arms_that_cannot_be_read_hold_up_no_others() -> None:
    source = Policies()
    source.states = {"sofas": {"oak": Arm("paused")}}
    source.refused = {"beds": StoreError("WRONGTYPE"), "no name {}": FormatError("no name")}
    table = PolicyTable(source)
    for category in ("beds", "no name {}", "sofas"):
        table.want(category)
    await table.refresh()
    assert table.loaded
    assert table.inactive("sofas") == {"oak"}
    source.refused = {"sofas": UnavailableError("away")}
    with pytest.raises(UnavailableError):
        await table.refresh()


async def test_another_active_lineage_replaces_every_pack(packs: tuple[Packs, PackTable, Metrics]) -> None:
    source, table, _ = packs
    source.stored = {("sofas", "main"): a_pack(7), ("lamps", "main"): a_pack(7), ("sofas", "new"): a_pack(1, "new")}
    await table.refresh()
    source.active = "new"
    await table.refresh()
    assert {category: pack.model.lineage for category, pack in table.packs.items()} == {"sofas": "new"}
    source.active = None
    await table.refresh()
    assert (table.packs, table.lineage) == ({}, None)


async def test_policy_and_paused_arms_are_followed() -> None:
    source = Policies()
    table = PolicyTable(source)
    assert not table.loaded
    assert table.inactive("sofas") == frozenset()
    source.states = {"sofas": {"oak": Arm("paused"), "tile": Arm("active"), "sand": Arm("retired")}}
    await table.refresh()
    assert table.loaded
    assert table.traffic.version == 2
    assert table.inactive("sofas") == {"oak", "sand"}
    source.states["sofas"]["oak"] = Arm("active")
    await table.refresh()
    assert table.inactive("sofas") == {"sand"}


async def test_categories_that_requests_make_up_are_not_kept() -> None:
    source = Policies()
    table = PolicyTable(source)
    source.states = {"sofas": {"oak": Arm("paused")}}
    table.want("sofas")
    for number in range(3 * MAX_WANTED):
        assert table.inactive(f"made-up-{number}") == frozenset()
    await table.refresh()
    assert len(source.asked) <= MAX_WANTED
    source.asked.clear()
    await table.refresh()
    assert source.asked == ["sofas"]
    assert table.inactive("sofas") == {"oak"}
    source.states.clear()
    await table.refresh()
    assert table.inactive("sofas") == frozenset()


class LogClock:
    def __init__(self, clock: ManualClock, ahead_ms: int) -> None:
        self.clock = clock
        self.ahead_ms = ahead_ms

    async def append(self, partition: int, blobs: object) -> tuple[()]:
        return ()

    async def clock_ms(self) -> int:
        return self.clock.now_ms() + self.ahead_ms


@pytest.mark.parametrize(("ahead_ms", "good"), [(0, True), (-100, True), (100, True), (101, False), (-101, False)])
async def test_clocks_that_differ_too_much_are_told(ahead_ms: int, good: bool) -> None:
    clock, metrics = ManualClock(), Metrics()
    check = ClockCheck(LogClock(clock, ahead_ms), clock, metrics, limit_ms=100)
    assert check.good
    await check.refresh()
    assert (check.good, check.skew_ms) == (good, -ahead_ms)
    outcome = b'"ok"' if good else b'"skewed"'
    assert b"backdrop_clock_checks_total{outcome=" + outcome + b"} 1.0" in metrics.render()


async def test_a_failing_refresh_goes_on_and_recovers() -> None:
    metrics, calls = Metrics(), 0

    async def step() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            message = "away"
            raise UnavailableError(message)
        if calls == 2:
            message = "a defect"
            raise ValueError(message)

    refresher = Refresher("things", step, 60.0, metrics)
    await refresher.round()
    assert refresher.failing
    await refresher.round()
    assert refresher.failing
    task = asyncio.create_task(refresher.run())
    for _ in range(5):
        await asyncio.sleep(0.01)
        refresher.hurry()
    await asyncio.sleep(0.01)
    task.cancel()
    assert not refresher.failing
    assert calls >= 5
    text = metrics.render()
    assert b'outcome="failed",what="things"} 1.0' in text
    assert b'outcome="broken",what="things"} 1.0' in text
