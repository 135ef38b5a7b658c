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
    left = contexts.take(order, axis=0)
    # With the rewards as one more column, one product gives Σ x xᵀ and Σ r x.
    right = np.empty((len(left), d + 1))
    right[:, :d], right[:, d] = left, rewards.take(order)
    upper = places(d, d + 1)
    product, packed = np.empty((d, d + 1)), np.empty(len(upper))
    rewarded = product[:, d]
    end = 0
    for arm in np.flatnonzero(counts).tolist():
        start, end = end, end + int(counts[arm])
        np.dot(left[start:end].T, right[start:end], out=product)
        product.take(upper, out=packed, mode="clip")
        gram, moment = stats.gram[arm], stats.moment[arm]
        gram += packed
        moment += rewarded
