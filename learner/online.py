"""LinUCB in memory: for simulation and offline replay."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import InvalidInputError
from learner.linucb import LinUCB, inverses, real
from learner.packed import diagonal, pack, quadratic, unpack
from learner.policy import Choice, choose
from learner.statistics import ArmStats, Statistics, checked

# Rank-one updates drift by rounding; after this many of an arm its inverse is computed afresh.
_REFRESH_EVERY = 4096


class OnlineLinUCB:
    """A LinUCB that decides and learns at once, one arm set, contexts of ``d`` entries; not thread-safe.

    Contexts of dtype int16 are fixed point, as for ``LinUCB``.
    """

    def __init__(
        self,
        arms: Sequence[str],
        d: int,
        *,
        alpha: float = 0.1,
        ridge: float = 1.0,
        epsilon: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Begin with nothing learned.

        Raises:
            InvalidInputError: on no arms, repeated arms, or values outside their range.
        """
        if not arms or len(set(arms)) != len(arms):
            message = f"arms {list(arms)}: need at least one, each once"
            raise InvalidInputError(message)
        if d < 1 or not 0.0 <= epsilon <= 1.0:
            message = f"d = {d}, epsilon = {epsilon}: d must be at least 1, epsilon between 0 and 1"
            raise InvalidInputError(message)
        self.arms = tuple(arms)
        self.epsilon = epsilon
        self._stats = Statistics.zero(d, self.arms)
        fitted = LinUCB.fit_statistics(self._stats, alpha=alpha, ridge=ridge, dtype=np.float64)
        self._model = fitted
        self._updates = np.zeros(len(arms), dtype=np.int64)
        self._rng = np.random.default_rng(seed)

    @property
    def model(self) -> LinUCB:
        """The pack that decides now, in float64 (arrays change as it learns)."""
        return self._model

    def stats(self) -> dict[str, ArmStats]:
        """Statistics by arm (views)."""
        return self._stats.by_arm()

    def decide(self, x: NDArray[Any], eligible: NDArray[Any] | None = None) -> Choice:
        """Choose for one context (d,); ``eligible`` bool (K,) or indices, default all."""
        allowed = np.ones(len(self.arms), dtype=np.bool_) if eligible is None else eligible
        return choose(self._model.scores(x), allowed, epsilon=self.epsilon, key=self._rng.bytes(16))

    def decide_batch(self, contexts: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Arms (n,) and propensities (n,) for contexts (n, d), all arms eligible, by the rule of ``choose``."""
        scores = self._model.scores_batch(contexts)
        best = scores == scores.max(axis=1, keepdims=True)
        ties = best.sum(axis=1)
        explored = self._rng.random(len(scores)) < self.epsilon
        # The largest of independent uniforms falls on each candidate with the same probability.
        lots = np.where(best | explored[:, None], self._rng.random(scores.shape), -1.0)
        arms = np.argmax(lots, axis=1)
        chosen_best = best[np.arange(len(arms)), arms]
        propensity = self.epsilon / len(self.arms) + np.where(chosen_best, (1.0 - self.epsilon) / ties, 0.0)
        return arms, propensity

    def learn(self, arm: int, x: NDArray[Any], reward: float) -> None:
        """Learn from one decision, by the Sherman-Morrison formula.

        Raises:
            InvalidInputError: on a wrong shape or a value that is not finite.
        """
        rows, rewards = checked(real(x)[None, :], np.array([reward]), self._stats.d)
        context = rows[0]
        d = self._stats.d
        weights = quadratic(context)
        halves = weights * 0.5
        halves[diagonal(d)] = weights[diagonal(d)]
        self._stats.gram[arm] += halves
        self._stats.moment[arm] += reward * context
        self._stats.n[arm] += 1.0
        self._stats.reward[arm] += float(rewards[0])
        self._updates[arm] += 1
        if self._updates[arm] % _REFRESH_EVERY == 0:
            self._refresh(arm)
            return
        inverse = unpack(self._model.inverse[arm], d)
        projected = inverse @ context
        inverse -= np.outer(projected, projected) / (1.0 + context @ projected)
        self._model.inverse[arm] = pack(inverse)
        self._model.theta[arm] = inverse @ self._stats.moment[arm]

    def learn_batch(self, arms: NDArray[np.intp], contexts: NDArray[Any], rewards: NDArray[Any]) -> None:
        """Learn from many decisions: ``arms`` (n,), ``contexts`` (n, d), ``rewards`` (n,).

        Raises:
            InvalidInputError: on wrong shapes or values that are not finite.
        """
        x, r = checked(real(contexts), rewards, self._stats.d)
        for arm in np.unique(arms):
            mine = arms == arm
            self._stats.gram[arm] += pack(x[mine].T @ x[mine])
            self._stats.moment[arm] += x[mine].T @ r[mine]
            self._stats.n[arm] += float(mine.sum())
            self._stats.reward[arm] += float(r[mine].sum())
            self._refresh(int(arm))

    def _refresh(self, arm: int) -> None:
        inverse = inverses(self._stats.gram[arm][None], self._stats.d, self._model.ridge, (self.arms[arm],))[0]
        self._model.inverse[arm] = pack(inverse)
        self._model.theta[arm] = inverse @ self._stats.moment[arm]
