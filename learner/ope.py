"""Off-policy evaluation: what a policy would have earned on decisions that another one made and logged.

Every estimator here is a ratio of sums over decisions, A / B, so one interval serves them all: the bootstrap-t of
resampled units (Efron & Tibshirani 1993, chapter 12; second-order accurate, Hall 1988). Units are decisions, or
users where ``users`` are given: the decisions of one user are not independent.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import InvalidInputError

_Floats = NDArray[np.float64]

MIN_EFFECTIVE = 200
# A bootstrap cannot know of outcomes that it has hardly seen: so many decisions of either outcome are needed, too.
MIN_OUTCOMES = 20

_EVEN = 1e-6
_CHUNK_DRAWS = 1 << 18


@dataclass(frozen=True, slots=True)
class Estimate:
    """Value of a policy per decision, with its interval; ``claim`` is whether the data can bear one.

    ``effective`` is the effective number of units (Kish 1965): (Σ w)² / Σ w², with w a unit's summed weight. Where
    no claim can be made, ``reason`` says why, and ``low`` and ``high`` are not to be used.
    """

    estimator: str
    value: float
    low: float
    high: float
    decisions: int
    effective: float
    claim: bool
    reason: str

    def sentence(self) -> str:
        """The outcome in words."""
        if not self.claim:
            return f"{self.estimator}: no claim can be made: {self.reason}"
        return (
            f"{self.estimator}: {self.value:.6g} ({self.low:.6g} to {self.high:.6g}), "
            f"{self.decisions:,} decisions worth {self.effective:,.0f}"
        )


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are made: their level, how many resamples, the seed of these."""

    level: float = 0.95
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what gives no interval.

        Raises:
            InvalidInputError: naming the value and the limit.
        """
        if not 0.0 < self.level < 1.0:
            message = f"level = {self.level}: must be between 0 and 1"
            raise InvalidInputError(message)
        # Fewer resamples than that have no quantile so far out.
        needed = int(np.ceil(4.0 / (1.0 - self.level)))
        if self.resamples < needed:
            message = f"resamples = {self.resamples}: a level of {self.level} needs at least {needed}"
            raise InvalidInputError(message)


DEFAULT_BOOTSTRAP = Bootstrap()


@dataclass(frozen=True, slots=True)
class Logged:
    """Decisions as they were logged: ``rewards`` (n,), ``propensities`` (n,) of the arms chosen, ``users`` (n,).

    ``users`` (any integers, one for each user) may be left out: each decision is then a unit of its own.
    """

    rewards: _Floats
    propensities: _Floats
    users: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        """Refuse what no estimator can use.

        Raises:
            InvalidInputError: naming the shapes, or the row and its value.
        """
        n = len(self.rewards)
        others = [self.propensities] if self.users is None else [self.propensities, self.users]
        if n == 0 or any(np.shape(values) != (n,) for values in (self.rewards, *others)):
            shapes = [np.shape(values) for values in (self.rewards, *others)]
            message = f"logged columns of shapes {shapes}: need (n,) each, n at least 1"
            raise InvalidInputError(message)
        _require("reward", self.rewards, np.isfinite(self.rewards), "finite")
        good = (self.propensities > 0.0) & (self.propensities <= 1.0)
        _require("propensity", self.propensities, good, "above 0 and at most 1")

    def __len__(self) -> int:
        """Count the decisions."""
        return len(self.rewards)


def replay(logged: Logged, matches: NDArray[np.bool_], *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> Estimate:
    """Mean reward where the policy chooses the arm that was logged (Li et al. 2011, Algorithm 2, fixed policy).

    ``matches`` (n,): whether the policy evaluated would have chosen the arm logged. Only for arms that were logged
    evenly at random.

    Raises:
        InvalidInputError: on a wrong shape, or if propensities differ: ``snips`` is right there.
    """
    _require_shape("matches", matches, len(logged))
    spread = float(np.ptp(logged.propensities))
    if spread > _EVEN:
        message = (
            f"propensities differ by up to {spread:.3g}: replay needs arms logged evenly at random, use snips instead"
        )
        raise InvalidInputError(message)
    weights = matches.astype(np.float64)
    return _estimate("replay", logged, weights, weights * logged.rewards, weights, bootstrap)


def ips(logged: Logged, target: _Floats, *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> Estimate:
    """Inverse propensity scores: mean of w r, w = π(a|x) / p (Horvitz & Thompson 1952). Unbiased, wide.

    ``target`` (n,): probability with which the policy evaluated chooses the arm logged.

    Raises:
        InvalidInputError: on a wrong shape or a probability outside 0 to 1.
    """
    weights = _weights(logged, target)
    return _estimate("ips", logged, weights, weights * logged.rewards, np.ones(len(logged)), bootstrap)


def snips(logged: Logged, target: _Floats, *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> Estimate:
    """Self-normalised inverse propensity scores: Σ w r / Σ w (Swaminathan & Joachims 2015, equation 9).

    ``target`` (n,) as for ``ips``. Slightly biased, much narrower, never outside the range of rewards.

    Raises:
        InvalidInputError: on a wrong shape or a probability outside 0 to 1.
    """
    weights = _weights(logged, target)
    return _estimate("snips", logged, weights, weights * logged.rewards, weights, bootstrap)


def doubly_robust(
    logged: Logged,
    target: _Floats,
    *,
    predicted: _Floats,
    expected: _Floats,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> Estimate:
    """Mean of q̂(x, π) + w (r - q̂(x, a)) (Dudík et al. 2011, equation 2): right if model or propensities are.

    ``target`` (n,) as for ``ips``; ``predicted`` (n,) = q̂(x, a), a reward model's value of the arm logged;
    ``expected`` (n,) = Σ_a π(a|x) q̂(x, a). The model must not have been fitted to these decisions.

    Raises:
        InvalidInputError: on a wrong shape, a value that is not finite, or a probability outside 0 to 1.
    """
    weights = _weights(logged, target)
    for name, values in (("predicted", predicted), ("expected", expected)):
        _require_shape(name, values, len(logged))
        _require(name, values, np.isfinite(values), "finite")
    gains = expected + weights * (logged.rewards - predicted)
    return _estimate("doubly robust", logged, weights, gains, np.ones(len(logged)), bootstrap)


def policy_probabilities(scores: _Floats, eligible: NDArray[np.bool_], *, epsilon: float = 0.0) -> _Floats:
    """Probabilities (n, K) with which ``choose`` picks each arm: best scores share 1 - ε, all eligible arms ε.

    ``scores`` (n, K), ``eligible`` (n, K) bool.

    Raises:
        InvalidInputError: on wrong shapes, a row without an eligible arm, or epsilon outside 0 to 1.
    """
    if scores.shape != eligible.shape or scores.ndim != len(("n", "K")):
        message = f"scores {scores.shape} and eligible {eligible.shape}: need (n, K) both"
        raise InvalidInputError(message)
    if not 0.0 <= epsilon <= 1.0:
        message = f"epsilon = {epsilon}: must be between 0 and 1"
        raise InvalidInputError(message)
    counts = eligible.sum(axis=1, keepdims=True)
    if not counts.all():
        message = f"row {int(np.argmin(counts))} has no eligible arm: at least one is needed"
        raise InvalidInputError(message)
    kept = np.where(eligible, scores, -np.inf)
    best = kept == kept.max(axis=1, keepdims=True)
    shares: _Floats = np.where(eligible, epsilon / counts, 0.0) + best * ((1.0 - epsilon) / best.sum(1, keepdims=True))
    return shares


def _weights(logged: Logged, target: _Floats) -> _Floats:
    _require_shape("target", target, len(logged))
    _require("target", target, (target >= 0.0) & (target <= 1.0), "between 0 and 1")
    weights: _Floats = target / logged.propensities
    return weights


def _estimate(
    name: str, logged: Logged, weights: _Floats, gains: _Floats, shares: _Floats, bootstrap: Bootstrap
) -> Estimate:
    """Σ gains / Σ shares with its interval, unless the weights leave too little."""
    unit_weights, a, b = (_by_unit(values, logged.users) for values in (weights, gains, shares))
    squares = float(np.square(unit_weights).sum())
    effective = float(unit_weights.sum()) ** 2 / squares if squares > 0.0 else 0.0
    total = float(b.sum())
    value = float(a.sum()) / total if total > 0.0 else float("nan")
    reason = _shortage(effective, logged.rewards[weights > 0.0])
    low = high = float("nan")
    if not reason:
        low, high = _bootstrap_t(a, b, bootstrap)
    return Estimate(name, value, low, high, len(logged), effective, not reason, reason)


def _shortage(effective: float, rewards: _Floats) -> str:
    if effective < MIN_EFFECTIVE:
        return f"the effective sample size is {effective:.0f}, at least {MIN_EFFECTIVE} are needed"
    commonest = int(np.unique(rewards, return_counts=True)[1].max())
    if len(rewards) - commonest < MIN_OUTCOMES:
        return (
            f"all but {len(rewards) - commonest} decisions of weight had the same reward, at least {MIN_OUTCOMES} "
            "with another are needed"
        )
    return ""


def _by_unit(values: _Floats, users: NDArray[Any] | None) -> _Floats:
    if users is None:
        return values
    _, unit = np.unique(users, return_inverse=True)
    return np.bincount(unit, weights=values).astype(np.float64)


def _bootstrap_t(a: _Floats, b: _Floats, bootstrap: Bootstrap) -> tuple[float, float]:
    """Interval of Σ a / Σ b over units, from resampled (v* - v) / s*, s by linearisation of the ratio."""
    columns = np.stack([a, b, a * a, a * b, b * b], axis=1)
    value, scale = _ratio(columns.sum(axis=0)[None, :])
    rng = np.random.default_rng(bootstrap.seed)
    n = len(a)
    sums = np.empty((bootstrap.resamples, columns.shape[1]))
    at_once = max(1, _CHUNK_DRAWS // n)
    for start in range(0, bootstrap.resamples, at_once):
        rows = min(at_once, bootstrap.resamples - start)
        drawn = rng.integers(0, n, size=(rows, n), dtype=np.int32)
        drawn += (np.arange(rows, dtype=np.int32) * n)[:, None]
        counts = np.bincount(drawn.reshape(-1), minlength=rows * n).reshape(rows, n)
        sums[start : start + rows] = counts.astype(np.float64) @ columns
    values, scales = _ratio(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        pivots = (values - value[0]) / scales
    # A resample without any spread says nothing of the spread of pivots.
    tail = (1.0 - bootstrap.level) / 2.0
    below, above = np.quantile(pivots[np.isfinite(pivots)], [tail, 1.0 - tail])
    return float(value[0] - above * scale[0]), float(value[0] - below * scale[0])


def _ratio(sums: _Floats) -> tuple[_Floats, _Floats]:
    """Ratio v = Σa / Σb and its standard error (R,) from sums (R, 5) of a, b, a², ab, b²."""
    a, b, aa, ab, bb = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        value = a / b
        residual = np.maximum(aa - 2.0 * value * ab + value * value * bb, 0.0)
        return value, np.sqrt(residual) / b


def _require_shape(name: str, values: NDArray[Any], n: int) -> None:
    if np.shape(values) != (n,):
        message = f"{name} has shape {np.shape(values)}: need ({n},)"
        raise InvalidInputError(message)


def _require(name: str, values: NDArray[Any], good: NDArray[np.bool_], rule: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        message = f"{name} row {row} is {values[row]}: must be {rule}"
        raise InvalidInputError(message)
