"""Learning from rare clicks: 10 arms, 16 context entries, clicks by a logit model around 0.5 %."""

import numpy as np
import pytest
from numpy.typing import NDArray

from learner import OnlineLinUCB

ARMS, D, BASE, ROUND = 10, 16, 0.005, 250
SPREAD = 0.5


class Shoppers:
    """Whose clicks depend on arm and context: logit p = logit(BASE) + wᵀx, with wᵀx of about SPREAD's size."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._weights = self._rng.normal(size=(ARMS, D)) * SPREAD / np.sqrt(D)

    def contexts(self, n: int) -> NDArray[np.float64]:
        return np.column_stack([np.ones(n), self._rng.normal(size=(n, D - 1))])

    def probability(self, contexts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Click probability (n, K) of every arm."""
        odds = BASE / (1 - BASE) * np.exp(contexts @ self._weights.T)
        probability: NDArray[np.float64] = odds / (1 + odds)
        return probability

    def clicks(self, contexts: NDArray[np.float64], arms: NDArray[np.intp]) -> NDArray[np.float64]:
        mine = self.probability(contexts)[np.arange(len(arms)), arms]
        return (self._rng.random(len(arms)) < mine).astype(np.float64)


def share_of_the_oracles_gain(learner: OnlineLinUCB, shoppers: Shoppers) -> float:
    """Of what always choosing the best arm gains over a uniform choice, what the learner's choices gain now."""
    contexts = shoppers.contexts(20_000)
    p = shoppers.probability(contexts)
    arms, _ = learner.decide_batch(contexts)
    chosen, uniform, best = p[np.arange(len(arms)), arms].mean(), p.mean(), p.max(axis=1).mean()
    return float((chosen - uniform) / (best - uniform))


@pytest.mark.slow
@pytest.mark.parametrize("late", [0, 10_000])
def test_most_of_what_there_is_to_gain_is_gained(late: int) -> None:
    shoppers = Shoppers(seed=11)
    learner = OnlineLinUCB([f"arm-{i}" for i in range(ARMS)], D, alpha=0.1, seed=3)
    waiting = []
    shares = {}
    for shown in range(ROUND, 1_000_001, ROUND):
        contexts = shoppers.contexts(ROUND)
        arms, _ = learner.decide_batch(contexts)
        waiting.append((arms, contexts, shoppers.clicks(contexts, arms)))
        if len(waiting) > late // ROUND:
            learner.learn_batch(*waiting.pop(0))
        if shown in (100_000, 1_000_000):
            shares[shown] = share_of_the_oracles_gain(learner, shoppers)
    assert shares[100_000] >= 0.5
    assert shares[1_000_000] >= 0.8
