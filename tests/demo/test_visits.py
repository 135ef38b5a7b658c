from typing import TYPE_CHECKING

import numpy as np
import pytest

from demo.population import make_population
from demo.visits import Habits, draw_visits, sample_items
from demo.world import DEMO_WORLD, build_world

if TYPE_CHECKING:
    from tests.demo.conftest import SmallShop


def test_items_on_a_page_are_distinct_and_have_their_shares() -> None:
    rng = np.random.default_rng(0)
    share = np.array([0.2, 0.05, 0.15, 0.1, 0.25, 0.05, 0.12, 0.08])
    drawn = sample_items(share, 40_000, 4, rng)
    assert all(len(set(page)) == 4 for page in drawn[:500])
    found = np.bincount(drawn.reshape(-1), minlength=8) / drawn.size
    assert found == pytest.approx(share, abs=0.004)


def test_visits_follow_the_distribution_that_the_truth_assumes(shop: "SmallShop") -> None:
    rng = np.random.default_rng(1)
    population = make_population(30, rng)
    world = build_world(population, shop.products, shop.placements, shop.prompts, DEMO_WORLD, rng)
    visits = draw_visits(world, population.activity, 200_000, 4, Habits(), rng)
    assert visits.item.size >= 200_000
    users = np.repeat(visits.user, visits.ads)
    slots = np.repeat(visits.placement, visits.ads)
    found = world.alternatives(users, visits.item.reshape(-1), slots)
    expected = world.truth(population.activity)
    means = (found.original.mean(), found.random.mean(), found.best.mean())
    assert means == pytest.approx(expected, rel=0.01)


def test_habits_are_kept(shop: "SmallShop") -> None:
    rng = np.random.default_rng(2)
    population = make_population(30, rng)
    world = build_world(population, shop.products, shop.placements, shop.prompts, DEMO_WORLD, rng)
    visits = draw_visits(world, population.activity, 40_000, 4, Habits(unseen=0.1, late=0.2, twice=0.3), rng)
    assert (~visits.seen).mean() == pytest.approx(0.1, abs=0.01)
    assert (visits.load_s > 0).mean() == pytest.approx(0.2, abs=0.01)
    assert visits.load_twice.mean() == pytest.approx(0.3, abs=0.01)
    assert 0 <= visits.click_s.min() <= visits.click_s.max() <= 5


def test_one_item_makes_pages_of_one_ad(shop: "SmallShop") -> None:
    rng = np.random.default_rng(3)
    population = make_population(5, rng)
    world = build_world(population, shop.products[:1], shop.placements, shop.prompts, DEMO_WORLD, rng)
    visits = draw_visits(world, population.activity, 10, 4, Habits(), rng)
    assert visits.item.shape == (10, 1)
