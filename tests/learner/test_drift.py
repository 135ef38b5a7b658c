"""A million updates, one at a time, stay where exact arithmetic says they are."""

import numpy as np
import pytest
from numpy.typing import NDArray

from learner import OnlineLinUCB, unpack

D = 8
UPDATES = 1_000_000
LIMIT = 1e-8


def oracle(gram: NDArray[np.longdouble], ridge: float) -> NDArray[np.longdouble]:
    """(ridge·I + G)⁻¹ by Gauss-Jordan elimination, all in long double."""
    d = len(gram)
    work = np.concatenate([gram + np.longdouble(ridge) * np.eye(d, dtype=np.longdouble), np.eye(d)], axis=1)
    for column in range(d):
        pivot = column + int(np.argmax(np.abs(work[column:, column])))
        work[[column, pivot]] = work[[pivot, column]]
        work[column] /= work[column, column]
        for row in range(d):
            if row != column:
                work[row] -= work[row, column] * work[column]
    return work[:, d:]


@pytest.mark.slow
def test_a_million_one_hot_updates_drift_less_than_1e_8() -> None:
    """Arm 0 sees one-hot contexts, arm 1 the same behind a constant, which couples all entries."""
    rng = np.random.default_rng(0)
    ridge = 1.0
    learner = OnlineLinUCB(("plain", "with constant"), D, ridge=ridge)
    plain = np.eye(D)
    constant = np.concatenate([np.ones((D - 1, 1)), np.eye(D - 1)], axis=1)
    # Uneven, so that some entries are seen a hundred times as often as others.
    shares = np.geomspace(1.0, 100.0, D)
    arms = rng.integers(0, 2, UPDATES)
    columns = rng.choice(D, UPDATES, p=shares / shares.sum())
    columns[arms == 1] %= D - 1
    rewards = (rng.random(UPDATES) < 0.1).astype(np.float64)
    rows = ([row.copy() for row in plain], [row.copy() for row in constant])
    for arm, column, reward in zip(arms.tolist(), columns.tolist(), rewards.tolist(), strict=True):
        learner.learn(arm, rows[arm][column], reward)
    model = learner.model
    for arm, contexts in enumerate((plain, constant)):
        seen = np.bincount(columns[arms == arm], minlength=len(contexts)).astype(np.longdouble)
        paid = np.bincount(columns[arms == arm], rewards[arms == arm], len(contexts)).astype(np.longdouble)
        wide = contexts.astype(np.longdouble)
        inverse = oracle((wide * seen[: len(wide), None]).T @ wide, ridge)
        theta = inverse @ (paid[: len(wide)] @ wide)
        assert np.abs(unpack(model.inverse[arm], D) - inverse).max() <= LIMIT
        assert np.abs(model.theta[arm] - theta).max() <= LIMIT
