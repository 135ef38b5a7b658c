"""Statistics of LinUCB as a monoid: G = Σ x xᵀ, b = Σ r x, n, reward (Li et al. 2010, Algorithm 1, lines 12-13)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts import InvalidInputError, NumericalError, packed_length
from learner.packed import diagonal, pack

# Products of two contexts are multiples of 2**-20, so float64 sums them exactly below 2**53 / 2**20.
EXACT_LIMIT = float(1 << 33)


@dataclass(frozen=True, slots=True)
class ArmStats:
    """Statistics of one arm: ``n`` decisions shown, ``reward`` their sum, ``gram`` (P,) packed, ``moment`` (d,)."""

    n: float
    reward: float
    gram: NDArray[np.float64]
    moment: NDArray[np.float64]

    @classmethod
    def zero(cls, d: int) -> "ArmStats":
        """An arm never shown, for contexts of ``d`` entries."""
        return cls(0.0, 0.0, np.zeros(packed_length(d)), np.zeros(d))

    @property
    def d(self) -> int:
        """Entries of a context."""
        return int(self.moment.shape[0])

    def observe(self, contexts: NDArray[np.float64], rewards: NDArray[np.float64]) -> "ArmStats":
        """Add decisions shown: ``contexts`` (n, d), ``rewards`` (n,).

        Raises:
            InvalidInputError: on a wrong shape or a value that is not finite, naming row and column.
        """
        x, r = checked(contexts, rewards, self.d)
        return ArmStats(self.n + len(r), self.reward + float(r.sum()), self.gram + pack(x.T @ x), self.moment + x.T @ r)

    def merge(self, other: "ArmStats") -> "ArmStats":
        """The statistics of both."""
        return ArmStats(
            self.n + other.n, self.reward + other.reward, self.gram + other.gram, self.moment + other.moment
        )

    def discount(self, gamma: float) -> "ArmStats":
        """Everything weighed by ``gamma`` in (0, 1].

        Raises:
            InvalidInputError: if ``gamma`` is outside that range.
        """
        if not 0.0 < gamma <= 1.0:
            message = f"gamma = {gamma}: must be above 0 and at most 1"
            raise InvalidInputError(message)
        return ArmStats(self.n * gamma, self.reward * gamma, self.gram * gamma, self.moment * gamma)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of many arms side by side: ``n``, ``reward`` (K,), ``gram`` (K, P), ``moment`` (K, d)."""

    arms: tuple[str, ...]
    n: NDArray[np.float64]
    reward: NDArray[np.float64]
    gram: NDArray[np.float64]
    moment: NDArray[np.float64]

    @classmethod
    def zero(cls, d: int, arms: Sequence[str] = ()) -> "Statistics":
        """Arms never shown."""
        k = len(arms)
        return cls(tuple(arms), np.zeros(k), np.zeros(k), np.zeros((k, packed_length(d))), np.zeros((k, d)))

    @property
    def d(self) -> int:
        """Entries of a context."""
        return int(self.moment.shape[1])

    def by_arm(self) -> dict[str, ArmStats]:
        """One ``ArmStats`` an arm (views)."""
        return {
            arm: ArmStats(float(self.n[i]), float(self.reward[i]), self.gram[i], self.moment[i])
            for i, arm in enumerate(self.arms)
        }

    @classmethod
    def of(cls, stats: Mapping[str, ArmStats]) -> "Statistics":
        """Stack single arms, in the order given.

        Raises:
            InvalidInputError: if there are none or their sizes differ.
        """
        sizes = {arm.d for arm in stats.values()}
        if len(sizes) != 1:
            message = f"statistics of {len(stats)} arms with context sizes {sorted(sizes)}: need one size"
            raise InvalidInputError(message)
        values = list(stats.values())
        return cls(
            tuple(stats),
            np.array([arm.n for arm in values], dtype=np.float64),
            np.array([arm.reward for arm in values], dtype=np.float64),
            np.stack([arm.gram for arm in values]).astype(np.float64),
            np.stack([arm.moment for arm in values]).astype(np.float64),
        )

    def aligned(self, arms: Sequence[str]) -> "Statistics":
        """The same with rows for exactly ``arms``; zeros for those it does not have."""
        if tuple(arms) == self.arms:
            return self
        mine = {arm: i for i, arm in enumerate(self.arms)}
        found = Statistics.zero(self.d, arms)
        here = [i for i, arm in enumerate(arms) if arm in mine]
        there = [mine[arm] for arm in arms if arm in mine]
        found.n[here] = self.n[there]
        found.reward[here] = self.reward[there]
        found.gram[here] = self.gram[there]
        found.moment[here] = self.moment[there]
        return found

    def merge(self, other: "Statistics") -> "Statistics":
        """The statistics of both, arms ascending."""
        arms = tuple(sorted({*self.arms, *other.arms}))
        a, b = self.aligned(arms), other.aligned(arms)
        return Statistics(arms, a.n + b.n, a.reward + b.reward, a.gram + b.gram, a.moment + b.moment)

    def with_prior(self, strength: float, fresh: str) -> "Statistics":
        """Every arm, and one more named ``fresh``, with ``strength`` decisions of the average arm added to G and b.

        The average is over decisions, not arms: Ḡ = Σ G / Σ n, b̄ = Σ b / Σ n; zero where nothing was shown.
        """
        shown = float(self.n.sum())
        share = strength / shown if shown > 0.0 else 0.0
        rows = self.aligned((*self.arms, fresh))
        gram, moment = self.gram.sum(axis=0), self.moment.sum(axis=0)
        return Statistics(rows.arms, rows.n, rows.reward, rows.gram + share * gram, rows.moment + share * moment)

    def discount(self, gamma: float) -> "Statistics":
        """Everything weighed by ``gamma``."""
        return Statistics(self.arms, self.n * gamma, self.reward * gamma, self.gram * gamma, self.moment * gamma)


def exact_headroom(gram: NDArray[np.float64], d: int) -> float:
    """Share of the exact-sum range still free, from packed Gram matrices (..., P): 1 unused, 0 or less full.

    The diagonal bounds every other entry (Cauchy-Schwarz), so it alone is looked at.
    """
    peak = float(gram[..., diagonal(d)].max(initial=0.0))
    return 1.0 - peak / EXACT_LIMIT


def require_exact(gram: NDArray[np.float64], d: int, where: str) -> None:
    """Check that sums of fixed-point products are still exact.

    Raises:
        NumericalError: naming ``where`` and what to do.
    """
    headroom = exact_headroom(gram, d)
    if headroom < 0.0:
        message = (
            f"{where}: sum of squares {(1 - headroom) * EXACT_LIMIT:.6g} is above {EXACT_LIMIT:.6g}, "
            "beyond which float64 sums are no longer exact: begin a new lineage, or one with gamma < 1"
        )
        raise NumericalError(message)


def require_finite(stats: Statistics) -> None:
    """Refuse sums that are not finite.

    Raises:
        NumericalError: naming arm, sum and entry.
    """
    for name, values in (("n", stats.n), ("reward", stats.reward), ("gram", stats.gram), ("moment", stats.moment)):
        if not np.isfinite(values).all():
            row, *entry = np.argwhere(~np.isfinite(values))[0]
            place = f"{name}[{entry[0]}]" if entry else name
            message = f"arm {stats.arms[row]!r}: {place} is {values[row, *entry]}: statistics must be finite"
            raise NumericalError(message)


def checked(
    contexts: NDArray[np.float64], rewards: NDArray[np.float64], d: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Contexts (n, d) and rewards (n,) as float64, if they fit together and are finite.

    Raises:
        InvalidInputError: naming the shapes, or the row and column of the value.
    """
    x = np.asarray(contexts, dtype=np.float64)
    r = np.asarray(rewards, dtype=np.float64)
    if r.ndim != 1 or x.shape != (len(r), d):
        message = f"contexts {x.shape} and rewards {r.shape}: need (n, {d}) and (n,)"
        raise InvalidInputError(message)
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        message = f"context row {row}, column {column} is {x[row, column]}: must be finite"
        raise InvalidInputError(message)
    if not np.isfinite(r).all():
        row = np.flatnonzero(~np.isfinite(r))[0]
        message = f"reward row {row} is {r[row]}: must be finite"
        raise InvalidInputError(message)
    return x, r
