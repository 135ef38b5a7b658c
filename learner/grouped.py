"""Sums by arm over many decisions at once: one rank-k product an arm."""

import numpy as np
from numpy.typing import NDArray

from learner.packed import places
from learner.statistics import Statistics


def add_decisions(
    stats: Statistics, arms: NDArray[np.intp], contexts: NDArray[np.float64], rewards: NDArray[np.float64]
) -> None:
    """Add decisions to ``stats`` in place: row of the arm (n,), ``contexts`` (n, d), ``rewards`` (n,), all checked."""
    d, k = stats.d, len(stats.arms)
    # Sorting 16-bit numbers takes numpy linear time.
    order = np.argsort(arms.astype(np.min_scalar_type(k)), kind="stable")
    counts = np.bincount(arms, minlength=k)
    stats.n[:] += counts
    stats.reward[:] += np.bincount(arms, weights=rewards, minlength=k)
    left, by_arm = contexts.take(order, axis=0), rewards.take(order)
    # BLAS multiplies two matrices faster than it squares one of so few rows, as it would on seeing the same array.
    right = left.copy()
    upper = places(d)
    square, packed = np.empty((d, d)), np.empty(len(upper))
    end = 0
    for arm in np.flatnonzero(counts).tolist():
        start, end = end, end + int(counts[arm])
        np.dot(left[start:end].T, right[start:end], out=square)
        square.take(upper, out=packed, mode="clip")
        gram, moment = stats.gram[arm], stats.moment[arm]
        gram += packed
        moment += by_arm[start:end].dot(right[start:end])
