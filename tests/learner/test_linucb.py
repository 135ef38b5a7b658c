"""Packs score as Algorithm 1 says, survive being written, and refuse what cannot be solved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts import InvalidInputError, NumericalError
from learner import ArmStats, LinUCB, OnlineLinUCB, unpack


def naive_scores(
    data: list[tuple[NDArray[np.float64], NDArray[np.float64]]], x: NDArray[np.float64], alpha: float, ridge: float
) -> list[float]:
    """Li et al. 2010, Algorithm 1, lines 8-9, with a plain inverse."""
    scores = []
    for contexts, rewards in data:
        a = ridge * np.eye(len(x)) + contexts.T @ contexts
        inverse = np.linalg.inv(a)
        theta = inverse @ (contexts.T @ rewards)
        scores.append(float(theta @ x + alpha * np.sqrt(x @ inverse @ x)))
    return scores


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 5), st.sampled_from((0.0, 0.1, 2.0)))
def test_scores_equal_algorithm_1(seed: int, d: int, k: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    data = [(rng.normal(size=(n, d)), rng.random(n)) for n in rng.integers(0, 30, k)]
    stats = {f"arm-{i}": ArmStats.zero(d).observe(*pair) for i, pair in enumerate(data)}
    model = LinUCB.fit(stats, alpha=alpha, ridge=0.7, dtype=np.float64)
    contexts = rng.normal(size=(3, d))
    expected = np.array([naive_scores(data, x, alpha, 0.7) for x in contexts])
    np.testing.assert_allclose(model.scores_batch(contexts), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.scores(contexts[0]), expected[0], rtol=1e-9, atol=1e-12)
    served = LinUCB.from_arrow(model.to_arrow(lineage="l", schema_hash="s", generation=4))
    np.testing.assert_allclose(served.scores(contexts[0]), expected[0], rtol=1e-3, atol=1e-4)
    assert (served.arms, served.lineage, served.schema_hash, served.generation) == (model.arms, "l", "s", 4)
    assert served.theta.dtype == served.inverse.dtype == np.float32


def test_int16_contexts_are_fixed_point() -> None:
    stats = {"a": ArmStats.zero(2).observe(np.array([[1.0, 0.5]]), np.array([1.0]))}
    model = LinUCB.fit(stats)
    q = np.array([1024, -512], dtype=np.int16)
    np.testing.assert_array_equal(model.scores(q), model.scores(q / 1024))
    np.testing.assert_array_equal(model.scores_batch(q[None]), model.scores_batch(q[None] / 1024))


def test_alpha_may_be_set_when_scoring() -> None:
    model = LinUCB.fit({"a": ArmStats.zero(1)}, alpha=0.1, ridge=4.0)
    assert model.scores(np.array([1.0]), alpha=2.0).tolist() == [1.0]
    assert model.scores(np.array([1.0]), alpha=0.0).tolist() == [0.0]


def test_aligned_arms_score_as_before_and_unknown_ones_as_fresh() -> None:
    rng = np.random.default_rng(1)
    stats = {name: ArmStats.zero(3).observe(rng.normal(size=(9, 3)), rng.random(9)) for name in "abc"}
    model = LinUCB.fit(stats, ridge=2.0)
    x = rng.normal(size=3)
    fresh = LinUCB.fit({"new": ArmStats.zero(3)}, ridge=2.0)
    both = model.aligned(("c", "new", "a")).scores(x)
    expected = [model.scores(x)[2], fresh.scores(x)[0], model.scores(x)[0]]
    np.testing.assert_allclose(both, expected, rtol=1e-6)


@pytest.mark.parametrize("ridge", [0.0, -1.0, float("nan")])
def test_a_ridge_that_cannot_work_is_refused(ridge: float) -> None:
    with pytest.raises(InvalidInputError, match="ridge"):
        LinUCB.fit({"a": ArmStats.zero(2)}, ridge=ridge)


def test_other_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="alpha"):
        LinUCB.fit({"a": ArmStats.zero(2)}, alpha=-0.1)
    with pytest.raises(InvalidInputError, match="one size"):
        LinUCB.fit({"a": ArmStats.zero(2), "b": ArmStats.zero(3)})


def test_statistics_that_cannot_be_solved_are_named() -> None:
    with pytest.raises(NumericalError, match="arm 'b'"):
        LinUCB.fit({"a": ArmStats.zero(1), "b": ArmStats(1.0, 0.0, np.array([np.inf]), np.zeros(1))})
    with pytest.raises(NumericalError, match="not positive definite"):
        LinUCB.fit({"a": ArmStats(1.0, 0.0, np.array([-5.0]), np.zeros(1))})


def test_online_learning_equals_fitting_all_at_once() -> None:
    rng = np.random.default_rng(3)
    contexts, rewards = rng.normal(size=(200, 5)), rng.random(200)
    arms = rng.integers(0, 3, 200)
    one_by_one = OnlineLinUCB("abc", 5, alpha=0.3, ridge=0.5)
    batched = OnlineLinUCB("abc", 5, alpha=0.3, ridge=0.5)
    for arm, x, reward in zip(arms, contexts, rewards, strict=True):
        one_by_one.learn(int(arm), x, float(reward))
    for part in range(0, 200, 64):
        batched.learn_batch(arms[part : part + 64], contexts[part : part + 64], rewards[part : part + 64])
    stats = {name: ArmStats.zero(5).observe(contexts[arms == i], rewards[arms == i]) for i, name in enumerate("abc")}
    expected = LinUCB.fit(stats, alpha=0.3, ridge=0.5, dtype=np.float64)
    for learner in (one_by_one, batched):
        np.testing.assert_allclose(learner.model.theta, expected.theta, atol=1e-10)
        np.testing.assert_allclose(learner.model.inverse, expected.inverse, atol=1e-10)
        np.testing.assert_allclose(learner.stats()["b"].gram, stats["b"].gram, atol=1e-10)


def test_online_learning_takes_fixed_point_contexts_as_deciding_does() -> None:
    q = np.array([[1024, -512], [2048, 3]], dtype=np.int16)
    fixed, floats = OnlineLinUCB("ab", 2), OnlineLinUCB("ab", 2)
    for learner, contexts in ((fixed, q), (floats, q / 1024)):
        learner.learn(0, contexts[0], 1.0)
        learner.learn_batch(np.array([0, 1]), contexts, np.array([0.0, 1.0]))
    np.testing.assert_array_equal(fixed.model.theta, floats.model.theta)
    np.testing.assert_array_equal(fixed.model.inverse, floats.model.inverse)


def test_rank_one_updates_do_not_drift() -> None:
    learner = OnlineLinUCB(("a",), 3, ridge=1.0)
    rng = np.random.default_rng(0)
    for column in rng.integers(0, 3, 10_000):
        learner.learn(0, np.eye(3)[column], 1.0)
    exact = np.linalg.inv(np.eye(3) + unpack(learner.stats()["a"].gram, 3))
    assert np.abs(unpack(learner.model.inverse[0], 3) - exact).max() < 1e-12


def test_an_online_learner_finds_the_better_arm() -> None:
    learner = OnlineLinUCB(("bad", "good"), 2, alpha=0.5, seed=2)
    rng = np.random.default_rng(5)
    chosen = []
    for _ in range(600):
        x = np.array([1.0, rng.normal()])
        arm = learner.decide(x).arm
        chosen.append(arm)
        learner.learn(arm, x, float(rng.random() < (0.2, 0.6)[arm]))
    assert np.mean(chosen[300:]) > 0.9


def test_deciding_for_many_follows_the_same_rule() -> None:
    learner = OnlineLinUCB("abcd", 2, alpha=0.0, epsilon=0.2, seed=1)
    learner.learn_batch(np.array([1, 2]), np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([1.0, 1.0]))
    arms, propensity = learner.decide_batch(np.tile([1.0, 0.0], (20_000, 1)))
    share = np.bincount(arms, minlength=4) / len(arms)
    np.testing.assert_allclose(share, [0.05, 0.45, 0.45, 0.05], atol=0.02)
    np.testing.assert_allclose(propensity[arms == 1], 0.45)
    np.testing.assert_allclose(propensity[arms == 0], 0.05)


@pytest.mark.parametrize(
    ("arms", "d", "epsilon"), [((), 2, 0.0), (("a", "a"), 2, 0.0), (("a",), 0, 0.0), (("a",), 2, 1.5)]
)
def test_an_online_learner_refuses_what_cannot_work(arms: tuple[str, ...], d: int, epsilon: float) -> None:
    with pytest.raises(InvalidInputError):
        OnlineLinUCB(arms, d, epsilon=epsilon)


def test_sums_that_are_not_finite_are_named_by_arm_and_entry() -> None:
    broken = ArmStats(1.0, 0.0, np.zeros(3), np.array([0.0, np.nan]))
    with pytest.raises(NumericalError, match=r"arm 'b': moment\[1\] is nan"):
        LinUCB.fit({"a": ArmStats.zero(2), "b": broken})
    with pytest.raises(NumericalError, match="arm 'b': reward is inf"):
        LinUCB.fit({"a": ArmStats.zero(2), "b": ArmStats(1.0, np.inf, np.zeros(3), np.zeros(2))})
