"""Off-policy estimators: equal to their definitions, intervals that cover, and silence where data is short."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts import InvalidInputError
from learner import (
    Bootstrap,
    Estimate,
    Logged,
    choose,
    doubly_robust,
    ips,
    policy_probabilities,
    replay,
    snips,
)
from learner.ope import MIN_EFFECTIVE

Floats = NDArray[np.float64]
REPEATS = 2_000


@dataclass(frozen=True)
class World:
    """Kinds of context with known chances, so that a policy's true value is a finite sum."""

    chance: Floats
    reward: Floats
    logging: Floats
    target: Floats

    @classmethod
    def make(cls, seed: int, *, even: bool = False, kinds: int = 12, arms: int = 4) -> "World":
        rng = np.random.default_rng(seed)
        reward = rng.uniform(0.02, 0.35, (kinds, arms))
        logging = np.full((kinds, arms), 1.0 / arms)
        if even:
            best = np.argmax(reward + rng.normal(0.0, 0.05, reward.shape), axis=1)
            target = np.eye(arms)[best]
        else:
            logging = 0.3 / arms + 0.7 * rng.dirichlet(np.ones(arms), kinds)
            target = 0.1 / arms + 0.9 * rng.dirichlet(np.ones(arms), kinds)
        return cls(rng.dirichlet(np.full(kinds, 5.0)), reward, logging, target)

    @property
    def value(self) -> float:
        return float(self.chance @ (self.target * self.reward).sum(axis=1))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
        kinds = rng.choice(len(self.chance), size=n, p=self.chance)
        arms = (rng.random((n, 1)) > np.cumsum(self.logging[kinds], axis=1)).sum(axis=1)
        return kinds, arms, (rng.random(n) < self.reward[kinds, arms]).astype(np.float64)


def estimates(world: World, n: int, rng: np.random.Generator, bootstrap: Bootstrap) -> list[Estimate]:
    kinds, arms, rewards = world.draw(n, rng)
    logged = Logged(rewards, world.logging[kinds, arms])
    target = world.target[kinds, arms]
    if np.ptp(world.logging) == 0.0:
        return [replay(logged, target == 1.0, bootstrap=bootstrap)]
    # A model that is wrong everywhere, as models are.
    model = 0.5 * world.reward + 0.1
    return [
        ips(logged, target, bootstrap=bootstrap),
        snips(logged, target, bootstrap=bootstrap),
        doubly_robust(
            logged,
            target,
            predicted=model[kinds, arms],
            expected=(world.target * model).sum(axis=1)[kinds],
            bootstrap=bootstrap,
        ),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("even", "n"), [(True, 1_000), (False, 700)])
def test_intervals_cover_the_truth_as_often_as_they_say(even: bool, n: int) -> None:
    covered: dict[str, int] = {}
    claims: dict[str, int] = {}
    for repeat in range(REPEATS):
        world = World.make(repeat, even=even)
        rng = np.random.default_rng([7, repeat])
        for found in estimates(world, n, rng, Bootstrap(resamples=300, seed=repeat)):
            assert found.claim == (found.effective >= MIN_EFFECTIVE), found
            if found.claim:
                claims[found.estimator] = claims.get(found.estimator, 0) + 1
                covered[found.estimator] = covered.get(found.estimator, 0) + (found.low <= world.value <= found.high)
    assert set(claims) == ({"replay"} if even else {"ips", "snips", "doubly robust"})
    for name, count in claims.items():
        assert count > 0.9 * REPEATS
        assert 0.93 <= covered[name] / count <= 0.97, (name, covered[name] / count, count)


def test_estimates_equal_their_definitions() -> None:
    world = World.make(1)
    rng = np.random.default_rng(2)
    kinds, arms, rewards = world.draw(900, rng)
    logged = Logged(rewards, world.logging[kinds, arms])
    target = world.target[kinds, arms]
    rows = list(zip(rewards, target / world.logging[kinds, arms], kinds, arms, strict=True))
    assert ips(logged, target).value == pytest.approx(sum(w * r for r, w, _, _ in rows) / 900)
    assert snips(logged, target).value == pytest.approx(
        sum(w * r for r, w, _, _ in rows) / sum(w for _, w, _, _ in rows)
    )
    model = world.reward**2
    expected = sum(float(world.target[k] @ model[k]) + w * (r - model[k, a]) for r, w, k, a in rows) / len(rows)
    found = doubly_robust(
        logged, target, predicted=model[kinds, arms], expected=(world.target * model).sum(axis=1)[kinds]
    )
    assert found.value == pytest.approx(expected)
    weights = [w for _, w, _, _ in rows]
    assert found.effective == pytest.approx(sum(weights) ** 2 / sum(w * w for w in weights))
    assert found.low < found.value < found.high


def test_replay_is_the_mean_where_the_choices_agree() -> None:
    rewards = np.tile([1.0, 0.0, 0.0, 1.0], 300)
    matches = np.tile([True, True, False, False], 300)
    found = replay(Logged(rewards, np.full(1_200, 0.25)), matches)
    assert (found.value, found.effective, found.claim) == (0.5, 600.0, True)
    with pytest.raises(InvalidInputError, match="evenly at random, use snips"):
        replay(Logged(rewards, np.tile([0.5, 0.25, 0.25, 0.5], 300)), matches)


def test_a_perfect_model_makes_doubly_robust_narrower_and_a_wrong_one_leaves_it_right() -> None:
    world = World.make(5)
    kinds, arms, rewards = world.draw(20_000, np.random.default_rng(3))
    logged, target = Logged(rewards, world.logging[kinds, arms]), world.target[kinds, arms]

    def with_model(model: Floats) -> Estimate:
        expected = (world.target * model).sum(axis=1)[kinds]
        return doubly_robust(logged, target, predicted=model[kinds, arms], expected=expected)

    true, wrong, plain = with_model(world.reward), with_model(world.reward * 0 + 9.0), ips(logged, target)
    assert true.high - true.low < plain.high - plain.low
    for found in (true, wrong, plain):
        assert found.low <= world.value <= found.high


def test_users_are_resampled_whole() -> None:
    rng = np.random.default_rng(4)
    users = np.repeat(np.arange(400), 25)
    # All decisions of one user end alike: 10,000 decisions are worth 400.
    rewards = np.repeat((rng.random(400) < 0.3).astype(np.float64), 25)
    propensities, target = np.full(10_000, 0.5), np.full(10_000, 0.5)
    alone = snips(Logged(rewards, propensities), target)
    together = snips(Logged(rewards, propensities, users), target)
    assert together.value == alone.value
    assert together.effective == pytest.approx(400)
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(5.0, rel=0.2)


def test_where_the_effective_size_is_small_no_claim_is_made() -> None:
    n = 5_000
    target = np.full(n, 1e-4)
    target[:50] = 1.0
    logged = Logged(np.tile([0.0, 1.0], n // 2), np.full(n, 0.5))
    for found in (ips(logged, target), snips(logged, target)):
        assert not found.claim
        assert found.sentence() == (
            f"{found.estimator}: no claim can be made: the effective sample size is 51, at least 200 are needed"
        )
        assert np.isnan(found.low)


def test_where_hardly_any_decision_was_rewarded_no_claim_is_made() -> None:
    rewards = np.zeros(4_000)
    rewards[:12] = 1.0
    found = snips(Logged(rewards, np.full(4_000, 0.5)), np.full(4_000, 0.5))
    assert not found.claim
    assert "all but 12 decisions" in found.sentence()


def test_where_the_policy_never_does_what_was_logged_no_claim_is_made() -> None:
    found = replay(Logged(np.ones(500), np.full(500, 0.5)), np.zeros(500, dtype=np.bool_))
    assert (found.claim, found.effective) == (False, 0.0)
    assert np.isnan(found.value)


def test_equal_seeds_give_equal_intervals() -> None:
    world = World.make(9)
    kinds, arms, rewards = world.draw(2_000, np.random.default_rng(0))
    logged, target = Logged(rewards, world.logging[kinds, arms]), world.target[kinds, arms]
    assert snips(logged, target) == snips(logged, target)
    assert snips(logged, target) != snips(logged, target, bootstrap=Bootstrap(seed=1))
    narrow = snips(logged, target, bootstrap=Bootstrap(level=0.5))
    wide = snips(logged, target)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_probabilities_are_those_of_choosing() -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 3, (40, 5)).astype(np.float64)
    eligible = rng.random((40, 5)) < 0.7
    eligible[~eligible.any(axis=1), 0] = True
    shares = policy_probabilities(scores, eligible, epsilon=0.2)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    for row in range(40):
        for key in range(8):
            found = choose(scores[row], eligible[row], epsilon=0.2, key=key.to_bytes(16, "big"))
            assert shares[row, found.arm] == pytest.approx(found.propensity)
        assert not shares[row][~eligible[row]].any()


@pytest.mark.parametrize(
    ("rewards", "propensities", "target", "message"),
    [
        ([0.0, np.nan], [0.5, 0.5], [0.5, 0.5], "reward row 1 is nan"),
        ([0.0, 1.0], [0.5, 0.0], [0.5, 0.5], "propensity row 1 is 0.0: must be above 0"),
        ([0.0, 1.0], [1.5, 0.5], [0.5, 0.5], "propensity row 0 is 1.5"),
        ([0.0, 1.0], [0.5], [0.5, 0.5], "shapes"),
        ([], [], [], "n at least 1"),
        ([0.0, 1.0], [0.5, 0.5], [0.5], "target has shape"),
        ([0.0, 1.0], [0.5, 0.5], [0.5, 1.1], "target row 1 is 1.1"),
        ([0.0, 1.0], [0.5, 0.5], [np.nan, 1.0], "target row 0 is nan"),
    ],
)
def test_what_no_estimator_can_use_is_named(
    rewards: list[float], propensities: list[float], target: list[float], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ips(Logged(np.array(rewards), np.array(propensities)), np.array(target))


@pytest.mark.parametrize(
    ("scores", "eligible", "epsilon", "message"),
    [
        (np.zeros((2, 3)), np.ones((2, 2), dtype=np.bool_), 0.0, "need"),
        (np.zeros((2, 3)), np.zeros((2, 3), dtype=np.bool_), 0.0, "row 0 has no eligible arm"),
        (np.zeros((2, 3)), np.ones((2, 3), dtype=np.bool_), 1.5, "epsilon"),
    ],
)
def test_policies_that_cannot_be_are_refused(
    scores: Floats, eligible: NDArray[np.bool_], epsilon: float, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        policy_probabilities(scores, eligible, epsilon=epsilon)


@pytest.mark.parametrize(("level", "resamples"), [(0.0, 1000), (1.0, 1000), (0.95, 10)])
def test_bootstraps_without_an_interval_are_refused(level: float, resamples: int) -> None:
    with pytest.raises(InvalidInputError, match="level"):
        Bootstrap(level=level, resamples=resamples)
