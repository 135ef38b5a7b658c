"""Learning in memory: one at a time, in batches or both, it holds what Algorithm 1 holds of the same decisions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts import InvalidInputError
from learner import ArmStats, LinUCB, OnlineLinUCB, pack

Arrays = tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]


def decisions(rng: np.random.Generator, n: int, k: int, d: int) -> Arrays:
    """Arms, fixed-point contexts as floats, and 0/1 rewards: their sums are exact in any order."""
    return rng.integers(0, k, n), rng.integers(-2048, 2048, (n, d)) / 1024, (rng.random(n) < 0.3).astype(float)


def summed(arms: NDArray[np.intp], x: NDArray[np.float64], r: NDArray[np.float64], names: str) -> dict[str, ArmStats]:
    d = x.shape[1]
    zero = {name: ArmStats.zero(d) for name in names}
    for arm, row, reward in zip(arms, x, r, strict=True):
        zero[names[arm]] = zero[names[arm]].merge(
            ArmStats(1.0, float(reward), pack(np.outer(row, row)), float(reward) * row)
        )
    return zero


def assert_same(learner: OnlineLinUCB, expected: dict[str, ArmStats], ridge: float) -> None:
    found = learner.stats()
    for name, stats in expected.items():
        assert (found[name].n, found[name].reward) == (stats.n, stats.reward)
        np.testing.assert_array_equal(found[name].gram, stats.gram)
        np.testing.assert_array_equal(found[name].moment, stats.moment)
    model = LinUCB.fit(expected, ridge=ridge, dtype=np.float64)
    np.testing.assert_allclose(learner.model.theta, model.theta, rtol=0, atol=1e-10)
    np.testing.assert_allclose(learner.model.inverse, model.inverse, rtol=0, atol=1e-10)


@given(st.integers(0, 10_000), st.integers(1, 9), st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=8))
def test_single_decisions_and_batches_may_follow_in_any_order(seed: int, d: int, parts: list[tuple[bool, int]]) -> None:
    rng = np.random.default_rng(seed)
    learner = OnlineLinUCB("abc", d, ridge=0.5)
    taken = [decisions(rng, 0, 3, d)]
    for batched, size in parts:
        arms, x, r = part = decisions(rng, size, 3, d)
        taken.append(part)
        if batched:
            learner.learn_batch(*part)
        else:
            for row in range(size):
                learner.learn(int(arms[row]), x[row], float(r[row]))
        if rng.random() < 0.5:
            learner.decide(rng.normal(size=d))
    arms, x, r = (np.concatenate(column) for column in zip(*taken, strict=True))
    assert_same(learner, summed(arms, x, r, "abc"), 0.5)


@pytest.mark.parametrize("asked_every", [1, 700, 100_000])
def test_nothing_is_lost_where_the_journal_fills_and_where_an_inverse_is_computed_afresh(asked_every: int) -> None:
    rng = np.random.default_rng(5)
    arms, x, r = decisions(rng, 9_000, 2, 3)
    learner = OnlineLinUCB("ab", 3)
    for row in range(len(arms)):
        learner.learn(int(arms[row]), x[row], float(r[row]))
        if row % asked_every == 0:
            learner.decide(x[row])
    assert_same(learner, summed(arms, x, r, "ab"), 1.0)


def test_an_arm_added_later_is_as_one_never_shown() -> None:
    rng = np.random.default_rng(1)
    learner = OnlineLinUCB("ab", 4, alpha=0.3, ridge=2.0)
    arms, x, r = decisions(rng, 60, 2, 4)
    for row in range(len(arms)):
        learner.learn(int(arms[row]), x[row], float(r[row]))
    before = learner.model.scores(x[0])
    learner.add_arm("c")
    assert learner.arms == ("a", "b", "c")
    fresh = LinUCB.fit({"c": ArmStats.zero(4)}, alpha=0.3, ridge=2.0, dtype=np.float64).scores(x[0])
    np.testing.assert_allclose(learner.model.scores(x[0]), [*before, *fresh], rtol=1e-12)
    learner.learn(2, x[0], 1.0)
    expected = summed(arms, x, r, "abc") | {"c": ArmStats.zero(4).observe(x[:1], np.ones(1))}
    assert_same(learner, expected, 2.0)
    with pytest.raises(InvalidInputError, match="'c' is there already"):
        learner.add_arm("c")


def test_it_may_begin_with_what_others_learned_and_leaves_that_alone() -> None:
    rng = np.random.default_rng(2)
    first, later = decisions(rng, 50, 3, 4), decisions(rng, 50, 3, 4)
    known = summed(*first, "abc")
    learner = OnlineLinUCB.from_stats(known, alpha=0.2, ridge=0.5, epsilon=0.1, seed=4)
    assert (learner.model.alpha, learner.model.ridge, learner.epsilon) == (0.2, 0.5, 0.1)
    assert_same(learner, summed(*first, "abc"), 0.5)
    learner.learn_batch(*later)
    learner.learn(0, later[1][0], 1.0)
    assert known["a"].n == np.sum(first[0] == 0)
    np.testing.assert_array_equal(known["a"].gram, summed(*first, "abc")["a"].gram)


@pytest.mark.parametrize(
    ("arm", "x", "reward", "message"),
    [
        (2, [1.0, 0.0], 1.0, "arm 2 is not there: need 0 to 1"),
        (-1, [1.0, 0.0], 1.0, "arm -1 is not there"),
        (0, [1.0, 0.0, 0.0], 1.0, r"context \(3,\): need \(2,\)"),
        (0, [0.0, np.nan], 1.0, "row 0, column 1 is nan"),
        (0, [-np.inf, 0.0], 1.0, "row 0, column 0 is -inf"),
        (0, [1e30, 0.0], 1.0, "column 0 is 1e.30"),
        (0, [1.0, 0.0], np.inf, "reward row 0 is inf"),
    ],
)
def test_what_cannot_be_learned_is_refused_and_changes_nothing(
    arm: int, x: list[float], reward: float, message: str
) -> None:
    learner = OnlineLinUCB("ab", 2)
    learner.learn(0, np.array([1.0, 0.5]), 1.0)
    before = learner.model.theta.copy(), learner.model.inverse.copy()
    with pytest.raises(InvalidInputError, match=message):
        learner.learn(arm, np.array(x), reward)
    np.testing.assert_array_equal(learner.model.theta, before[0])
    np.testing.assert_array_equal(learner.model.inverse, before[1])
    assert sum(stats.n for stats in learner.stats().values()) == 1


@pytest.mark.parametrize(
    ("arms", "x", "message"),
    [
        ([0, 2], np.ones((2, 2)), "row 1: arm 2 is not there: need 0 to 1"),
        ([0, -1], np.ones((2, 2)), "row 1: arm -1"),
        ([0.0, 1.0], np.ones((2, 2)), "whole numbers"),
        ([0], np.ones((2, 2)), "whole numbers of the same shape"),
        ([0, 1], np.ones((2, 3)), "need .n, 2."),
        ([0, 1], np.array([[1.0, 1.0], [np.inf, 1.0]]), "row 1, column 0 is inf"),
    ],
)
def test_a_batch_that_cannot_be_learned_is_refused_whole(arms: list[int], x: NDArray[np.float64], message: str) -> None:
    learner = OnlineLinUCB("ab", 2)
    with pytest.raises(InvalidInputError, match=message):
        learner.learn_batch(np.array(arms), x, np.ones(2))
    assert all(stats.n == 0 for stats in learner.stats().values())


def test_arms_of_equal_numbers_share_the_choice_while_it_learns() -> None:
    learner = OnlineLinUCB([f"arm-{i}" for i in range(7)], 33)
    rng = np.random.default_rng(0)
    for untouched in (7, 6, 5):
        choices = [learner.decide(rng.normal(size=33)) for _ in range(200)]
        fresh = [choice for choice in choices if choice.arm >= 7 - untouched]
        assert fresh
        assert {choice.propensity for choice in fresh} == {1.0 / untouched}
        learner.learn(7 - untouched, rng.normal(size=33), 0.0)
