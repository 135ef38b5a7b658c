"""The closing report: CTR by policy, lifts with intervals, the simulator's truth beside them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import LINUCB, ORIGINAL, RANDOM
from demo.outcomes import Tally
from learner import wilson

RESAMPLES = 2_000
_CHUNK_CELLS = 4_000_000
_PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One policy: counts, CTR with its Wilson interval, and the true CTR of what it showed."""

    policy: str
    decisions: int
    shown: int
    clicks: int
    ctr: float
    low: float
    high: float
    truth: float


@dataclass(frozen=True, slots=True)
class LiftRow:
    """Relative lift of ``policy`` over ``over`` (0.15 = +15 %), 95 % interval by user, and its truth.

    ``truth`` compares true click probabilities on the very requests that ``policy`` served.
    """

    policy: str
    over: str
    lift: float
    low: float
    high: float
    truth: float

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class IdentityCheck:
    """Streaming state against batch replay of the event log, as of one watermark."""

    identical: bool
    windows_closed: int
    facts: int
    differences: tuple[str, ...] = ()

    def line(self) -> str:
        """The closing sentence."""
        if self.identical:
            return (
                "streaming state == batch replay of the event log: identical "
                f"({self.windows_closed} closed windows, {self.facts:,} facts)"
            )
        shown = "; ".join(self.differences[:3])
        return f"streaming state == batch replay of the event log: DIFFERENT ({shown})"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the closing table shows. ``best_over_random`` is the truth of the best choice on all requests."""

    rows: tuple[PolicyRow, ...]
    lifts: tuple[LiftRow, ...]
    best_over_random: float
    identity: IdentityCheck | None = None

    def lift(self, policy: str, over: str) -> LiftRow | None:
        """The lift of one policy over another, if both served."""
        return next((row for row in self.lifts if (row.policy, row.over) == (policy, over)), None)

    def to_plain(self) -> dict[str, Any]:
        """As JSON types; lifts carry ``significant``. Numbers that do not exist are null."""
        plain = asdict(self)
        for row, lift in zip(plain["lifts"], self.lifts, strict=True):
            row["significant"] = lift.significant
        cleaned: dict[str, Any] = _finite(plain)
        return cleaned


def bootstrap_rates(
    shown: NDArray[np.float64],
    clicks: NDArray[np.float64],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> NDArray[np.float64]:
    """CTRs (R, Q) of resampled users: each resample draws U users with replacement, whole.

    ``shown`` and ``clicks`` are (U, Q). Users, not impressions, are drawn because one user's clicks hang together
    (Efron and Tibshirani 1993, section 8). A policy without impressions in a resample gives nan.
    """
    present = np.flatnonzero(shown.sum(axis=1) > 0)
    shown, clicks = shown[present], clicks[present]
    users = len(present)
    if users == 0:
        return np.full((resamples, shown.shape[1]), np.nan)
    both = np.concatenate([shown, clicks], axis=1)
    sums = np.empty((resamples, both.shape[1]))
    step = max(1, _CHUNK_CELLS // users)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(0, users, size=(rows, users)) + users * np.arange(rows)[:, None]
        weights = np.bincount(drawn.reshape(-1), minlength=rows * users).reshape(rows, users)
        sums[start : start + rows] = weights.astype(np.float64) @ both
    policies = shown.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[:, policies:] / sums[:, :policies])


def make_report(
    tally: Tally,
    rng: np.random.Generator,
    identity: IdentityCheck | None = None,
    resamples: int = RESAMPLES,
) -> Report:
    """Compute all rows of the closing table from per-user sums."""
    shown, clicks = tally.shown.sum(axis=0), tally.clicks.sum(axis=0)
    rows = tuple(
        PolicyRow(
            policy,
            int(tally.decisions[q]),
            int(shown[q]),
            int(clicks[q]),
            _ratio(clicks[q], shown[q]),
            *wilson(clicks[q], shown[q]),
            float(tally.actual[q]),
        )
        for q, policy in enumerate(tally.policies)
    )
    rates = bootstrap_rates(tally.shown, tally.clicks, rng, resamples)
    truths = {ORIGINAL: tally.original, RANDOM: tally.random}
    lifts = []
    for policy, over in ((RANDOM, ORIGINAL), (LINUCB, ORIGINAL), (LINUCB, RANDOM)):
        if policy not in tally.policies or over not in tally.policies:
            continue
        a, b = tally.policies.index(policy), tally.policies.index(over)
        low, high = _interval(rates[:, a], rates[:, b])
        lift = _ratio(_ratio(clicks[a], shown[a]), _ratio(clicks[b], shown[b])) - 1
        lifts.append(LiftRow(policy, over, lift, low, high, _ratio(tally.actual[a], truths[over][a]) - 1))
    total = shown / max(1.0, float(shown.sum()))
    best = _ratio(float(total @ tally.best), float(total @ tally.random)) - 1
    return Report(rows, tuple(lifts), best, identity)


def _interval(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    with np.errstate(divide="ignore", invalid="ignore"):
        lifts = a / b - 1
    lifts = lifts[np.isfinite(lifts)]
    if len(lifts) == 0:
        return -math.inf, math.inf
    low, high = np.percentile(lifts, _PERCENTILES)
    return float(low), float(high)


def _ratio(a: float, b: float) -> float:
    return float(a) / float(b) if b else math.nan


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
