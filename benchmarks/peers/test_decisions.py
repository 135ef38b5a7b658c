"""Decisions and rewards on public data sets, beside MABWiser's LinUCB and beside figures to reproduce."""

import numpy as np
import pytest
from mabwiser.mab import MAB, LearningPolicy

from benchmarks.peers.datasets import Problem, problem
from learner import OnlineLinUCB

ALPHA = 0.1

# MABWiser itself warns of a coming pandas and numpy.
pytestmark = pytest.mark.filterwarnings("default")


def names(data: Problem) -> list[str]:
    return [f"class-{i}" for i in range(data.arms)]


@pytest.mark.parametrize("name", ["digits", "optdigits", "satimage"])
def test_every_decision_equals_mabwisers(name: str) -> None:
    data = problem(name)
    ours = OnlineLinUCB(names(data), data.contexts.shape[1], alpha=ALPHA, ridge=1.0)
    theirs = MAB(list(range(data.arms)), LearningPolicy.LinUCB(alpha=ALPHA, l2_lambda=1.0))
    differing = []
    for row, (x, label) in enumerate(zip(data.contexts, data.label, strict=True)):
        arm = int(np.argmax(ours.model.scores(x)))
        if row == 0:
            # MABWiser decides nothing before its first fit; all arms are equal then.
            expected, learn = 0, theirs.fit
        else:
            scores = theirs.predict_expectations(x[None])
            expected, learn = max(range(data.arms), key=lambda each: scores[each]), theirs.partial_fit
        if arm != expected:
            differing.append(row)
        reward = float(expected == label)
        ours.learn(expected, x, reward)
        learn([expected], [reward], x[None])
    assert differing == []


@pytest.mark.parametrize(("name", "expected"), [("digits", 0.82), ("optdigits", 0.90), ("satimage", 0.81)])
def test_one_pass_earns_what_is_known_of_these_data(name: str, expected: float) -> None:
    rewards = [one_pass(problem(name).shuffled(seed), refresh=1, seed=seed).mean() for seed in range(5)]
    assert np.mean(rewards) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("name", ["optdigits", "satimage"])
def test_a_stale_model_with_random_ties_earns_nearly_as_much_as_a_fresh_one(name: str) -> None:
    second_half = slice(len(problem(name).label) // 2, None)
    fresh, stale = (
        np.mean([one_pass(problem(name).shuffled(seed), refresh=refresh, seed=seed)[second_half] for seed in range(5)])
        for refresh in (1, 1000)
    )
    assert stale >= 0.97 * fresh


def one_pass(data: Problem, *, refresh: int, seed: int) -> np.ndarray:
    """Rewards (n,) of deciding on every row in turn, by what was learned up to the last refresh."""
    learner = OnlineLinUCB(names(data), data.contexts.shape[1], alpha=ALPHA, ridge=1.0, seed=seed)
    rewards = np.zeros(len(data.label))
    for start in range(0, len(rewards), refresh):
        part = slice(start, start + refresh)
        arms, _ = learner.decide_batch(data.contexts[part])
        rewards[part] = arms == data.label[part]
        for arm, x, reward in zip(arms.tolist(), data.contexts[part], rewards[part].tolist(), strict=True):
            if refresh == 1:
                learner.learn(arm, x, reward)
        if refresh > 1:
            learner.learn_batch(arms, data.contexts[part], rewards[part])
    return rewards
