"""LinUCB in memory: for simulation and offline replay."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import InvalidInputError
from learner.grouped import add_decisions
from learner.linucb import LinUCB, inverses
from learner.packed import pack, unpack
from learner.policy import Choice, choose
from learner.scoring import real, real_row
from learner.statistics import ArmStats, Statistics, checked

# Rank-one updates drift by rounding; after this many of an arm its inverse is computed afresh.
_REFRESH_EVERY = 4096
# Single decisions wait in a journal of this many, because sums of many at once cost a fraction.
_JOURNAL = 1024


class OnlineLinUCB:
    """A LinUCB that decides and learns at once, contexts of ``d`` entries; not thread-safe.

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
        self.epsilon = epsilon
        self._rng = np.random.default_rng(seed)
        self._begin(Statistics.zero(d, arms), alpha, ridge)

    @classmethod
    def from_stats(
        cls,
        stats: Mapping[str, ArmStats],
        *,
        alpha: float = 0.1,
        ridge: float = 1.0,
        epsilon: float = 0.0,
        seed: int = 0,
    ) -> "OnlineLinUCB":
        """Begin with what was learned elsewhere, such as in another lineage or from logged data.

        Raises:
            InvalidInputError: as for the constructor, or if the arms' sizes differ.
            NumericalError: if an arm's matrix cannot be solved.
        """
        found = Statistics.of(stats)
        learner = cls(found.arms, found.d, alpha=alpha, ridge=ridge, epsilon=epsilon, seed=seed)
        learner._begin(found, alpha, ridge)
        return learner

    def _begin(self, stats: Statistics, alpha: float, ridge: float) -> None:
        self._stats = stats
        self._model = LinUCB.fit_statistics(stats, alpha=alpha, ridge=ridge, dtype=np.float64)
        self._inverse = unpack(self._model.inverse, stats.d)
        # Arms whose inverse is newer than its packed form, and those whose statistics are newer than their inverse.
        self._unpacked: set[int] = set()
        self._unsolved: set[int] = set()
        self._updates = [0] * len(stats.arms)
        self._journal = np.empty((_JOURNAL, stats.d))
        self._journal_arms: list[int] = []
        self._journal_rewards: list[float] = []
        # Views and scratch space at hand: for one decision, making them costs as much as the arithmetic.
        self._rows = list(zip(self._inverse, self._model.theta, strict=True))
        self._step, self._outer = np.empty(stats.d), np.empty_like(self._inverse[0])
        self._column = self._step[:, None]

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms; everything else names an arm by its place here."""
        return self._stats.arms

    @property
    def model(self) -> LinUCB:
        """The pack that decides now, in float64 (arrays change as it learns)."""
        if self._unsolved:
            self._solve(sorted(self._unsolved))
        if self._unpacked:
            touched = sorted(self._unpacked)
            self._model.inverse[touched] = pack(self._inverse[touched])
            self._unpacked.clear()
            # Which arms have equal numbers is looked at anew.
            self._model = replace(self._model)
        return self._model

    def stats(self) -> dict[str, ArmStats]:
        """Statistics by arm (views)."""
        self._settle()
        return self._stats.by_arm()

    def add_arm(self, arm: str) -> None:
        """Let one more arm, never shown, take part from now on; it gets the last place.

        Raises:
            InvalidInputError: if there is one of that name.
        """
        if arm in self.arms:
            message = f"arm {arm!r} is there already: need a new name"
            raise InvalidInputError(message)
        self._settle()
        self._begin(self._stats.aligned((*self.arms, arm)), self._model.alpha, self._model.ridge)

    def decide(self, x: NDArray[Any], eligible: NDArray[Any] | None = None) -> Choice:
        """Choose for one context (d,); ``eligible`` bool (K,) or indices, default all."""
        allowed = np.ones(len(self.arms), dtype=np.bool_) if eligible is None else eligible
        return choose(self.model.scores(x), allowed, epsilon=self.epsilon, key=self._rng.bytes(16))

    def decide_batch(self, contexts: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Arms (n,) and propensities (n,) for contexts (n, d), all arms eligible, by the rule of ``choose``."""
        scores = self.model.scores_batch(contexts)
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
            InvalidInputError: on an arm that is not there, a wrong shape or a value that is not finite.
        """
        context = real_row(x, len(self._step))
        if not 0 <= arm < len(self._rows):
            raise self._no_arm(arm)
        if not math.isfinite(reward):
            message = f"reward row 0 is {reward}: must be finite"
            raise InvalidInputError(message)
        inverse, theta = self._rows[arm]
        step = inverse.dot(context, out=self._step)
        scale = 1.0 / math.sqrt(1.0 + float(context.dot(step)))
        row = len(self._journal_arms)
        self._journal[row] = context
        self._journal_arms.append(arm)
        self._journal_rewards.append(reward)
        if row + 1 == _JOURNAL:
            self._settle()
        if arm in self._unsolved:
            return
        surprise = scale * (reward - float(theta.dot(context)))
        np.multiply(step, scale, out=step)
        np.multiply(self._column, step, out=self._outer)
        np.subtract(inverse, self._outer, out=inverse)
        np.multiply(step, surprise, out=step)
        np.add(theta, step, out=theta)
        self._unpacked.add(arm)
        self._updates[arm] += 1
        if self._updates[arm] == _REFRESH_EVERY:
            self._unsolved.add(arm)

    def learn_batch(self, arms: NDArray[np.intp], contexts: NDArray[Any], rewards: NDArray[Any]) -> None:
        """Learn from many decisions: ``arms`` (n,), ``contexts`` (n, d), ``rewards`` (n,).

        Raises:
            InvalidInputError: on arms that are not there, wrong shapes or values that are not finite.
        """
        x, r = checked(real(contexts), rewards, self._stats.d)
        places = np.asarray(arms)
        if places.shape != r.shape or not np.issubdtype(places.dtype, np.integer):
            message = f"arms {places.dtype} {places.shape} with rewards {r.shape}: need whole numbers of the same shape"
            raise InvalidInputError(message)
        outside = (places < 0) | (places >= len(self.arms))
        if outside.any():
            row = int(np.argmax(outside))
            raise self._no_arm(int(places[row]), f"row {row}: ")
        add_decisions(self._stats, places.astype(np.intp), x, r)
        self._unsolved.update(np.flatnonzero(np.bincount(places)).tolist())

    def _solve(self, arms: list[int]) -> None:
        self._settle()
        names = [self.arms[arm] for arm in arms]
        self._inverse[arms] = inverses(self._stats.gram[arms], self._stats.d, self._model.ridge, names)
        self._model.theta[arms] = np.einsum("kij,kj->ki", self._inverse[arms], self._stats.moment[arms])
        for arm in arms:
            self._updates[arm] = 0
        self._unpacked.update(arms)
        self._unsolved.clear()

    def _settle(self) -> None:
        """Move the journal into the statistics."""
        count = len(self._journal_arms)
        if count:
            places, rewards = np.array(self._journal_arms), np.array(self._journal_rewards, dtype=np.float64)
            add_decisions(self._stats, places, self._journal[:count], rewards)
            self._journal_arms.clear()
            self._journal_rewards.clear()

    def _no_arm(self, arm: int, where: str = "") -> InvalidInputError:
        return InvalidInputError(f"{where}arm {arm} is not there: need 0 to {len(self.arms) - 1}")
