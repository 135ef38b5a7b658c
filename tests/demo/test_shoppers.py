import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest
import uvloop

from contracts import POLICIES, RANDOM, UnavailableError
from demo.http import Client
from demo.population import Population, make_population
from demo.shoppers import Ledger, Pace, Shoppers
from demo.visits import Habits, Visits, draw_visits
from demo.world import Calibration, World, build_world

if TYPE_CHECKING:
    from tests.demo.conftest import FakeServer, SmallShop


FAST = Pace(decisions_per_s=1e6, pages_at_once=16)
# Clicks often, so that a few hundred decisions see many.
EAGER = Calibration(base_ctr=0.1)


def prepare(shop: "SmallShop", decisions: int, habits: Habits) -> tuple[Population, World, Visits, Ledger]:
    rng = np.random.default_rng(4)
    population = make_population(40, rng)
    world = build_world(population, shop.products, shop.placements, shop.prompts, EAGER, rng)
    visits = draw_visits(world, population.activity, decisions, 4, habits, rng)
    categories = sorted({product.category for product in shop.products})
    codes = np.array([categories.index(product.category) for product in shop.products])
    return population, world, visits, Ledger(visits, codes)


QUICK = Habits(prompt_s=0.001, late_s=0.05)


async def test_what_the_server_saw_is_what_the_ledger_says(shop: "SmallShop", fake_server: "type[FakeServer]") -> None:
    population, world, visits, ledger = prepare(shop, 1200, QUICK)
    async with fake_server(world) as server:
        await Shoppers(server.url, population.users, world, visits, ledger).run(FAST)
    outcomes = ledger.outcomes()
    assert len(outcomes) == ledger.decided == visits.item.size == len(server.arms)
    assert outcomes.shown.sum() == len(server.impressions) == ledger.shown.sum()
    assert outcomes.clicked.sum() == len(server.clicks) == ledger.clicks.sum()
    assert ledger.facts.sum() == len(server.impressions) + len(server.clicks)
    assert 0 < len(server.clicks) < len(server.impressions) < len(outcomes)
    assert not (outcomes.clicked & ~outcomes.shown).any()
    assert (outcomes.policy == POLICIES.index(RANDOM)).all()
    assert not ledger.problems


async def test_some_load_or_click_twice_and_it_counts_once(shop: "SmallShop", fake_server: "type[FakeServer]") -> None:
    population, world, visits, ledger = prepare(shop, 400, Habits(twice=1.0, prompt_s=0.001, late_s=0.01))
    async with fake_server(world) as server:
        await Shoppers(server.url, population.users, world, visits, ledger).run(FAST)
    assert set(server.impressions.values()) == {2}
    assert set(server.clicks.values()) == {2}
    assert ledger.facts.sum() == len(server.impressions) + len(server.clicks)


async def test_clicks_follow_the_truth_of_what_was_shown(shop: "SmallShop", fake_server: "type[FakeServer]") -> None:
    population, world, visits, ledger = prepare(shop, 4000, QUICK)
    async with fake_server(world) as server:
        await Shoppers(server.url, population.users, world, visits, ledger).run(FAST)
    done = ledger.outcomes()
    truth = world.probability(done.user, done.item, done.placement, done.arm)[done.shown]
    assert done.clicked.sum() == pytest.approx(truth.sum(), abs=4 * np.sqrt((truth * (1 - truth)).sum()))


async def test_requests_say_nothing_but_user_placement_and_items(
    shop: "SmallShop", fake_server: "type[FakeServer]"
) -> None:
    population, world, visits, ledger = prepare(shop, 40, QUICK)
    async with fake_server(world) as server:
        await Shoppers(server.url, population.users, world, visits, ledger).run(FAST)
    for asked in server.asked:
        assert set(asked) == {"user", "placement", "items"}
        items = asked["items"]
        assert isinstance(items, list)
        assert all(set(item) == {"id"} for item in items)


async def test_a_server_that_always_fails_is_named(shop: "SmallShop", fake_server: "type[FakeServer]") -> None:
    population, world, visits, ledger = prepare(shop, 1200, QUICK)
    async with fake_server(world, fail_decides=True) as server:
        with pytest.raises(UnavailableError, match="status 503"):
            await Shoppers(server.url, population.users, world, visits, ledger).run(FAST)


async def test_traffic_ends_in_time_once_there_was_enough(shop: "SmallShop", fake_server: "type[FakeServer]") -> None:
    population, world, visits, ledger = prepare(shop, 4000, QUICK)
    async with fake_server(world) as server:
        pace = Pace(decisions_per_s=1e6, pages_at_once=1, limit_s=0.0, enough=100)
        await Shoppers(server.url, population.users, world, visits, ledger).run(pace)
    assert 100 <= ledger.decided <= 108
    assert len(ledger.outcomes()) == ledger.decided


async def test_no_server_is_named(shop: "SmallShop") -> None:
    population, world, visits, ledger = prepare(shop, 1200, QUICK)
    with pytest.raises(UnavailableError, match="no server answers"):
        await Shoppers("http://127.0.0.1:9", population.users, world, visits, ledger).run(FAST)


async def test_a_server_that_closes_each_connection_is_reached_again(
    shop: "SmallShop", fake_server: "type[FakeServer]"
) -> None:
    _, world, _, _ = prepare(shop, 4, QUICK)
    async with fake_server(world) as server:
        server.close_each = True
        client = Client("127.0.0.1", server.port, connections=1)
        statuses = [(await client.get(f"/v1/i/t{turn}")).status for turn in range(3)]
        await client.close()
    assert statuses == [200, 200, 200]


async def test_answers_come_in_the_order_of_pipelined_requests(
    shop: "SmallShop", fake_server: "type[FakeServer]"
) -> None:
    _, world, _, _ = prepare(shop, 4, QUICK)
    async with fake_server(world) as server:
        client = Client("127.0.0.1", server.port, connections=1)
        replies = await asyncio.gather(*(client.get(path) for path in ("/v1/i/a", "/v1/c/a", "/none/x", "/v1/i/b")))
        await client.close()
    assert [reply.status for reply in replies] == [200, 302, 404, 200]


def test_it_works_on_the_loop_that_the_demo_uses(shop: "SmallShop", fake_server: "type[FakeServer]") -> None:
    population, world, visits, ledger = prepare(shop, 400, QUICK)

    async def visit() -> None:
        async with fake_server(world) as server:
            await Shoppers(server.url, population.users, world, visits, ledger).run(FAST)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(visit())
    assert ledger.decided == 400
    assert not ledger.problems
