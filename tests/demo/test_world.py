from typing import TYPE_CHECKING

import numpy as np
import pytest

from contracts import InvalidInputError, Prompt
from demo.population import Population, make_population
from demo.world import DEMO_WORLD, PAPER_WORLD, Calibration, World, build_world

if TYPE_CHECKING:
    from tests.demo.conftest import SmallShop


def build(
    shop: "SmallShop", seed: int = 0, calibration: Calibration = DEMO_WORLD, users: int = 60
) -> tuple[Population, World]:
    rng = np.random.default_rng(seed)
    population = make_population(users, rng)
    return population, build_world(population, shop.products, shop.placements, shop.prompts, calibration, rng)


def enumerate_truth(population: Population, world: World) -> tuple[float, float, float]:
    """Visit every request one by one, in plain Python: the slow oracle."""
    original = random = best = 0.0
    for user in range(len(population)):
        for item, arms in enumerate(world.arms):
            for placement in range(len(world.placements)):
                weight = population.activity[user] * world.item_share[item] * world.placement_share[placement]
                count = len(arms)
                users, items, slots = (np.full(count, code) for code in (user, item, placement))
                probabilities = world.probability(users, items, slots, np.arange(count))
                original += weight * probabilities[0]
                random += weight * probabilities[1:].mean()
                best += weight * probabilities[1:].max()
    return original, random, best


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("calibration", [DEMO_WORLD, PAPER_WORLD], ids=["demo", "paper"])
def test_truth_by_enumeration_has_exactly_the_calibrated_structure(
    shop: "SmallShop", seed: int, calibration: Calibration
) -> None:
    population, world = build(shop, seed, calibration)
    original, random, best = enumerate_truth(population, world)
    assert original == pytest.approx(calibration.base_ctr, rel=1e-6)
    assert random == pytest.approx(calibration.generated_lift * original, rel=1e-6)
    assert best == pytest.approx(calibration.best_lift * random, rel=1e-5)
    assert world.truth(population.activity) == pytest.approx((original, random, best), rel=1e-9)


def test_demo_world_meets_the_promise_of_eighty_percent() -> None:
    assert DEMO_WORLD.generated_lift == 1.15
    assert DEMO_WORLD.best_lift >= 1.8
    assert DEMO_WORLD.base_ctr == 0.03


def test_probabilities_are_probabilities(shop: "SmallShop") -> None:
    population, world = build(shop, users=400)
    highest = population.appetite.max() * (world.base * world.lift.max(axis=(0, 3))).max()
    assert 0 < highest < 1
    assert (world.lift >= 0).all()


def test_missing_arms_are_never_clicked(shop: "SmallShop") -> None:
    _, world = build(shop)
    for item, arms in enumerate(world.arms):
        assert (world.lift[:, item, :, : len(arms)] > 0).all()
        assert (world.lift[:, item, :, len(arms) :] == 0).all()


def test_same_seed_same_world_other_seed_other_world(shop: "SmallShop") -> None:
    first, again, other = build(shop, 3)[1], build(shop, 3)[1], build(shop, 4)[1]
    assert np.array_equal(first.lift, again.lift)
    assert np.array_equal(first.base, again.base)
    assert not np.allclose(first.lift, other.lift)


def test_alternatives_agree_with_single_probabilities(shop: "SmallShop") -> None:
    population, world = build(shop)
    rng = np.random.default_rng(5)
    users = rng.integers(0, len(population), 50)
    items = rng.integers(0, len(world.items), 50)
    slots = rng.integers(0, len(world.placements), 50)
    found = world.alternatives(users, items, slots)
    for row in range(50):
        arms = np.arange(len(world.arms[items[row]]))
        user, item, slot = (np.full(len(arms), value[row]) for value in (users, items, slots))
        expected = world.probability(user, item, slot, arms)
        assert found.original[row] == pytest.approx(expected[0])
        assert found.random[row] == pytest.approx(expected[1:].mean())
        assert found.best[row] == pytest.approx(expected[1:].max())


def test_favourites_differ_between_segments(shop: "SmallShop") -> None:
    _, world = build(shop)
    favourites = world.lift[:, :, 0, 1:].argmax(axis=-1)
    assert (favourites != favourites[0]).any()


def test_category_without_prompts_is_refused(shop: "SmallShop") -> None:
    rng = np.random.default_rng(0)
    population = make_population(10, rng)
    prompts = [prompt for prompt in shop.prompts if prompt.category != "category-1"]
    with pytest.raises(InvalidInputError, match="category-1"):
        build_world(population, shop.products, shop.placements, prompts, DEMO_WORLD, rng)


def test_too_few_prompts_for_the_lift_is_refused(shop: "SmallShop") -> None:
    rng = np.random.default_rng(0)
    population = make_population(10, rng)
    single = [Prompt(f"only-{c}", f"category-{c}", "text") for c in range(4)]
    with pytest.raises(InvalidInputError, match="at least 3 prompts"):
        build_world(population, shop.products, shop.placements, single, DEMO_WORLD, rng)


def test_impossible_base_rate_is_refused(shop: "SmallShop") -> None:
    rng = np.random.default_rng(0)
    population = make_population(10, rng)
    with pytest.raises(InvalidInputError, match="click probability"):
        build_world(population, shop.products, shop.placements, shop.prompts, Calibration(base_ctr=0.6), rng)
