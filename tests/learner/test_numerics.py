"""What the report of an arm's numbers says is so, and what cannot be a variance is refused."""

from dataclasses import replace

import numpy as np
import pytest

from contracts import InvalidInputError, NumericalError
from learner import EXACT_LIMIT, ArmStats, Statistics, numerics_of, require_positive


def test_the_report_says_condition_and_exact_range() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 4))
    stats = Statistics.of({"new": ArmStats.zero(4), "old": ArmStats.zero(4).observe(x, np.zeros(20))})
    new, old = numerics_of(stats, ridge=0.5)
    assert (new.arm, new.n, new.ridge, new.condition, new.exact_used) == ("new", 0.0, 0.5, 1.0, 0.0)
    assert old.condition == pytest.approx(np.linalg.cond(0.5 * np.eye(4) + x.T @ x))
    assert old.exact_used == pytest.approx((x**2).sum(axis=0).max() / EXACT_LIMIT)
    assert old.n == 20.0


def test_a_singular_sum_is_as_well_conditioned_as_the_ridge_makes_it() -> None:
    stats = Statistics.of({"a": ArmStats.zero(2).observe(np.full((8, 2), 1.0), np.zeros(8))})
    assert numerics_of(stats, ridge=1.0)[0].condition == pytest.approx(17.0)
    with pytest.raises(InvalidInputError, match="ridge"):
        numerics_of(stats, ridge=0.0)
    with pytest.raises(NumericalError, match=r"arm 'a': gram\[0\] is nan"):
        numerics_of(replace(stats, gram=stats.gram * np.nan), ridge=1.0)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1.0, 0.0], [0.0, -0.1]], "smallest eigenvalue of -0.1"),
        ([[1.0, 0.5], [0.0, 1.0]], "off symmetry by 0.5"),
        ([[np.inf, 0.0], [0.0, 1.0]], "not finite"),
    ],
)
def test_what_is_no_variance_is_refused(matrix: list[list[float]], message: str) -> None:
    good = np.array([[1.0, 1.0], [1.0, 1.0]])
    require_positive(good[None], ("good",))
    with pytest.raises(NumericalError, match=f"arm 'bad'.*{message}"):
        require_positive(np.array([good, matrix]), ("good", "bad"))
