"""The short form of ``make chaos-generate``: one store, a run killed at a step of each kind, then one that finishes."""

import random
from collections.abc import Iterator

import pytest

from stores import EmbeddedRedis
from tests.beam_pipelines.generate.shop import needs_weights
from tests.chaos_generate.rounds import World
from tests.chaos_generate.steps import AFTER, BEFORE, HALF, Death

pytestmark = needs_weights

# In the order in which a run comes to them: each one finds what the last one left.
POINTS = (
    ("chunk read", 1, BEFORE),
    ("cut-out stored", 1, HALF),
    ("painting", 2, AFTER),
    ("picture stored", 4, HALF),
    ("rows written", 1, BEFORE),
    ("index", 1, AFTER),
    ("merged part written", 1, HALF),
    ("small part removed", 9, AFTER),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedRedis) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), redis_server, products=2) as world:
        yield world


@pytest.mark.slow
def test_runs_that_are_killed_at_every_kind_of_step_leave_what_one_leaves(world: World) -> None:
    rng = random.Random(1)
    deaths = tuple(Death(kind, rng.randint(1, most), moment) for kind, most, moment in POINTS)
    found = world.play(deaths)
    assert found.faults == ()
    assert found.deaths == deaths
    assert (found.made, found.again) == (0, 0)


def test_what_a_killed_run_put_there_for_workers_elsewhere_goes_when_its_lease_is_over(world: World) -> None:
    death = Death("picture stored", 5, AFTER)
    found = world.play((death,), elsewhere=True)
    assert found.faults == ()
    assert found.deaths == (death,)
    assert found.made > 0
