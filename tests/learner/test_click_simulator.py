"""Clicks of shoppers that no model describes exactly: how much of what there is to gain LinUCB gains, and how soon."""

from collections import deque

import numpy as np
import pytest
from numpy.typing import NDArray

from learner import OnlineLinUCB

Floats = NDArray[np.float64]

ARMS, FIELDS, LEVELS = 10, 3, 5
D = 1 + FIELDS * LEVELS
BASE_CTR = 0.005
# Deviation of an arm's effect on the log odds, for the arm as such and for each text of a context.
EFFECT = 0.3
ROUND = 1_000


class Shoppers:
    """Contexts of three fields, five texts each; clicks whose log odds are linear in them, otherwise for each arm."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._effects = self._rng.normal(0.0, EFFECT, (ARMS, D))

    def contexts(self, count: int) -> Floats:
        x = np.zeros((count, D))
        x[:, 0] = 1.0
        for field in range(FIELDS):
            x[np.arange(count), 1 + LEVELS * field + self._rng.integers(0, LEVELS, count)] = 1.0
        return x

    def rates(self, x: Floats) -> Floats:
        odds = np.log(BASE_CTR / (1.0 - BASE_CTR)) + x @ self._effects.T
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))

    def clicks(self, x: Floats, arms: NDArray[np.intp]) -> Floats:
        rates = self.rates(x)[np.arange(len(arms)), arms]
        return np.asarray(self._rng.random(len(arms)) < rates, dtype=np.float64)


def share_of_gain(learner: OnlineLinUCB, shoppers: Shoppers, unseen: Floats) -> float:
    """(earned - random) / (best - random) of what the learner would choose now, in true rates."""
    rates = shoppers.rates(unseen)
    chosen = np.argmax(learner.model.scores_batch(unseen), axis=1)
    earned = rates[np.arange(len(chosen)), chosen].mean()
    return float((earned - rates.mean()) / (rates.max(axis=1).mean() - rates.mean()))


@pytest.mark.slow
@pytest.mark.parametrize("late", [0, 10_000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_most_of_the_gain_is_earned_also_when_rewards_come_late(seed: int, late: int) -> None:
    shoppers = Shoppers(seed)
    unseen = shoppers.contexts(20_000)
    learner = OnlineLinUCB([f"arm-{i}" for i in range(ARMS)], D, alpha=0.1, ridge=1.0, seed=seed)
    waiting: deque[tuple[NDArray[np.intp], Floats, Floats]] = deque()
    shares = {}
    for shown in range(ROUND, 1_000_001, ROUND):
        x = shoppers.contexts(ROUND)
        arms, _ = learner.decide_batch(x)
        waiting.append((arms, x, shoppers.clicks(x, arms)))
        if len(waiting) * ROUND > late:
            learner.learn_batch(*waiting.popleft())
        if shown in (100_000, 1_000_000):
            shares[shown] = share_of_gain(learner, shoppers, unseen)
    assert shares[100_000] >= 0.5, shares
    assert shares[1_000_000] >= 0.8, shares
