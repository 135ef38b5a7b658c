"""Policies in memory behind one interface: for simulation, replay and comparison."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts import InvalidInputError
from learner.hybrid import fit_hybrid
from learner.linucb import LinUCB
from learner.online import OnlineLinUCB
from learner.policy import Choice, choose
from learner.scoring import real
from learner.statistics import ArmStats, Statistics


class Policy(Protocol):
    """Decides for contexts (d,) and learns from what came of it; arms are named by their place in ``arms``.

    Not thread-safe. Contexts of dtype int16 are fixed point (x = q / 1024), others x itself. Learning many decisions at
    once is learning them one by one. All randomness comes from the seed that a policy was made with.
    """

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms."""
        ...

    def decide(self, x: NDArray[Any], eligible: NDArray[Any] | None = None) -> Choice:
        """Choose for one context (d,); ``eligible`` bool (K,) or indices, default all.

        Raises:
            InvalidInputError: if no arm is eligible, or a value is not finite.
        """
        ...

    def learn(self, arm: int, x: NDArray[Any], reward: float) -> None:
        """Learn from one decision.

        Raises:
            InvalidInputError: on an unknown arm, a wrong shape, or a value that is not finite, naming row and column.
        """
        ...

    def learn_batch(self, arms: NDArray[np.intp], contexts: NDArray[Any], rewards: NDArray[Any]) -> None:
        """Learn from decisions: ``arms`` (n,), ``contexts`` (n, d), ``rewards`` (n,).

        Raises:
            InvalidInputError: on an unknown arm, a wrong shape, or a value that is not finite, naming row and column.
        """
        ...


def epsilon_greedy(
    arms: Sequence[str], d: int, *, epsilon: float = 0.1, ridge: float = 1.0, seed: int = 0
) -> OnlineLinUCB:
    """Linear epsilon-greedy: the arm of the highest expected reward, with probability ``epsilon`` any arm.

    It is LinUCB without a bonus for what is uncertain.
    """
    return OnlineLinUCB(arms, d, alpha=0.0, ridge=ridge, epsilon=epsilon, seed=seed)


class OnlineHybrid:
    """Hybrid LinUCB in memory (Li et al. 2010, Algorithm 2).

    Each decision teaches something of every arm, so the model is fitted anew when a decision is asked for after
    learning: a comparison, not a fast path. ``tags`` and ``shared`` are as for ``fit_hybrid``.
    """

    def __init__(
        self,
        arms: Sequence[str],
        d: int,
        *,
        tags: Mapping[str, NDArray[np.float64]],
        shared: Sequence[int],
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
        self.arms = tuple(arms)
        self.epsilon = epsilon
        self._tags, self._shared = dict(tags), tuple(shared)
        self._alpha, self._ridge = alpha, ridge
        self._stats = {arm: ArmStats.zero(d) for arm in arms}
        self._rng = np.random.default_rng(seed)
        self._fitted: LinUCB | None = self._fit()

    @property
    def model(self) -> LinUCB:
        """The pack that decides now, in float64."""
        if self._fitted is None:
            self._fitted = self._fit()
        return self._fitted

    def decide(self, x: NDArray[Any], eligible: NDArray[Any] | None = None) -> Choice:
        """Choose by the hybrid upper confidence bounds, ties at random."""
        return choose(self.model.scores(x), _allowed(self, eligible), epsilon=self.epsilon, key=self._rng.bytes(16))

    def learn(self, arm: int, x: NDArray[Any], reward: float) -> None:
        """Learn from one decision."""
        self.learn_batch(np.array([arm]), np.asarray(x)[None], np.array([reward]))

    def learn_batch(self, arms: NDArray[np.intp], contexts: NDArray[Any], rewards: NDArray[Any]) -> None:
        """Learn from decisions: all of them or, where one cannot be, none."""
        places, x, r = np.asarray(arms), real(contexts), np.asarray(rewards, dtype=np.float64)
        # Checks all rows before any arm changes.
        ArmStats.zero(self._stats[self.arms[0]].d).observe(x, r)
        if places.shape != r.shape or not np.all((places >= 0) & (places < len(self.arms))):
            message = f"arms {places.tolist()}: need {len(r)} from 0 to {len(self.arms) - 1}"
            raise InvalidInputError(message)
        for place in np.unique(places):
            mine = places == place
            self._stats[self.arms[place]] = self._stats[self.arms[place]].observe(x[mine], r[mine])
        self._fitted = None

    def _fit(self) -> LinUCB:
        fitted = fit_hybrid(
            Statistics.of(self._stats),
            self._tags,
            self._shared,
            alpha=self._alpha,
            ridge=self._ridge,
            dtype=np.float64,
        )
        return fitted.aligned(self.arms)


class ThompsonSampling:
    """Linear Thompson sampling (Agrawal & Goyal 2013, Algorithm 1), parameters of its own for each arm.

    θ̃_a ~ N(θ_a, v² A_a⁻¹) is drawn anew for each decision, and the arm of the highest θ̃_aᵀx chosen. Only θ̃_aᵀx
    matters, and it is N(θ_aᵀx, v² xᵀA_a⁻¹x), independent between arms: so one number an arm is drawn. The propensity,
    P(a is highest) = ∫ φ(u) Π_{b≠a} Φ((m_a + σ_a u - m_b) / σ_b) du, has no closed form; it is integrated numerically
    to about 1e-4 (``highest_probability``).
    """

    def __init__(self, arms: Sequence[str], d: int, *, v: float = 0.1, ridge: float = 1.0, seed: int = 0) -> None:
        """Begin with nothing learned; ``v`` scales the posterior's deviation.

        Raises:
            InvalidInputError: on no arms, repeated arms, or values outside their range.
        """
        if not (np.isfinite(v) and v > 0.0):
            message = f"v = {v}: must be finite and above 0"
            raise InvalidInputError(message)
        self._learner = OnlineLinUCB(arms, d, alpha=v, ridge=ridge)
        self._rng = np.random.default_rng(seed)

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms."""
        return self._learner.arms

    def decide(self, x: NDArray[Any], eligible: NDArray[Any] | None = None) -> Choice:
        """Choose the arm whose drawn reward is highest; ties, as at x = 0, at random."""
        model = self._learner.model
        means = model.scores(x, alpha=0.0)
        deviations = model.scores(x) - means
        drawn = means + deviations * self._rng.standard_normal(len(means))
        allowed = _allowed(self, eligible)
        choice = choose(drawn, allowed, key=self._rng.bytes(16))
        candidates = np.flatnonzero(allowed) if np.asarray(allowed).dtype == np.bool_ else np.asarray(allowed)
        others = candidates[candidates != choice.arm]
        if not deviations.any():
            return choice
        propensity = highest_probability(
            float(means[choice.arm]), float(deviations[choice.arm]), means[others], deviations[others]
        )
        return Choice(choice.arm, propensity, explored=bool(means[candidates].max() > means[choice.arm]))

    def learn(self, arm: int, x: NDArray[Any], reward: float) -> None:
        """Learn from one decision."""
        self._learner.learn(arm, x, reward)

    def learn_batch(self, arms: NDArray[np.intp], contexts: NDArray[Any], rewards: NDArray[Any]) -> None:
        """Learn from decisions."""
        self._learner.learn_batch(arms, contexts, rewards)


# Quantiles of a normal at which an integrand with it is looked at, in deviations; beyond lies 1e-9.
_GRID = np.linspace(-6.0, 6.0, 97)


def highest_probability(
    mean: float, deviation: float, means: NDArray[np.float64], deviations: NDArray[np.float64]
) -> float:
    """Probability that N(mean, deviation²) is above independent N(means, deviations²) (B,); deviations above 0.

    Trapezoids over u, the first's standard normal, at a grid of its own quantiles and of each rival's: so narrow rivals
    are resolved as well as wide ones.
    """
    rivals = (means[:, None] + deviations[:, None] * _GRID - mean) / deviation
    u = np.unique(np.concatenate([_GRID, np.clip(rivals, _GRID[0], _GRID[-1]).reshape(-1)]))
    below = normal_cdf((mean + deviation * u - means[:, None]) / deviations[:, None]).prod(axis=0)
    density = np.exp(-0.5 * u * u) / np.sqrt(2.0 * np.pi)
    return float(min(1.0, np.trapezoid(density * below, u)))


def normal_cdf(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distribution function of the standard normal to 7.5e-8 (Abramowitz & Stegun 1964, 26.2.17)."""
    t = 1.0 / (1.0 + 0.2316419 * np.abs(z))
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi) * series
    found: NDArray[np.float64] = np.where(z < 0.0, tail, 1.0 - tail)
    return found


def _allowed(policy: Policy, eligible: NDArray[Any] | None) -> NDArray[Any]:
    return np.ones(len(policy.arms), dtype=np.bool_) if eligible is None else np.asarray(eligible)
