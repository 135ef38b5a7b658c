"""Statistics are a monoid, exact, and refuse what is not finite."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts import InvalidInputError, NumericalError
from learner import EXACT_LIMIT, ArmStats, Statistics, exact_headroom, require_exact

D = 4
FIXED = st.integers(-32767, 32767).map(lambda q: q / 1024)
ROWS = st.lists(st.tuples(st.lists(FIXED, min_size=D, max_size=D), st.sampled_from((0.0, 1.0))), max_size=20)


def observed(rows: list[tuple[list[float], float]]) -> ArmStats:
    contexts = np.array([x for x, _ in rows], dtype=np.float64).reshape(len(rows), D)
    return ArmStats.zero(D).observe(contexts, np.array([r for _, r in rows]))


def same(a: ArmStats, b: ArmStats) -> bool:
    return (
        (a.n, a.reward) == (b.n, b.reward)
        and a.gram.tobytes() == b.gram.tobytes()
        and a.moment.tobytes() == b.moment.tobytes()
    )


@given(ROWS, ROWS, ROWS)
def test_merging_is_associative_commutative_and_equals_observing_all(
    a: list[tuple[list[float], float]], b: list[tuple[list[float], float]], c: list[tuple[list[float], float]]
) -> None:
    x, y, z = observed(a), observed(b), observed(c)
    assert same(x.merge(y).merge(z), x.merge(y.merge(z)))
    assert same(x.merge(y), y.merge(x))
    assert same(x.merge(y), observed(a + b))
    assert same(x.merge(ArmStats.zero(D)), x)


@given(ROWS)
def test_sums_are_exact(rows: list[tuple[list[float], float]]) -> None:
    stats = observed(rows)
    exact = [sum(Fraction(x[i]) * Fraction(x[j]) for x, _ in rows) for i in range(D) for j in range(i, D)]
    assert stats.gram.tolist() == [float(value) for value in exact]
    assert stats.moment.tolist() == [float(sum(Fraction(x[i]) * Fraction(r) for x, r in rows)) for i in range(D)]


def test_observing_changes_no_argument() -> None:
    zero = ArmStats.zero(2)
    zero.observe(np.ones((1, 2)), np.ones(1))
    assert zero.n == 0.0
    assert not zero.gram.any()


def test_discount_weighs_everything() -> None:
    stats = ArmStats.zero(1).observe(np.array([[2.0]]), np.array([1.0])).discount(0.5)
    assert (stats.n, stats.reward, stats.gram.tolist(), stats.moment.tolist()) == (0.5, 0.5, [2.0], [1.0])


@pytest.mark.parametrize("gamma", [0.0, -1.0, 1.5, float("nan")])
def test_discount_refuses_what_does_not_forget(gamma: float) -> None:
    with pytest.raises(InvalidInputError, match="gamma"):
        ArmStats.zero(1).discount(gamma)


def test_values_that_are_not_finite_are_named_by_row_and_column() -> None:
    contexts = np.ones((3, 2))
    contexts[1, 1] = np.nan
    with pytest.raises(InvalidInputError, match="row 1, column 1 is nan"):
        ArmStats.zero(2).observe(contexts, np.ones(3))
    with pytest.raises(InvalidInputError, match="reward row 2 is inf"):
        ArmStats.zero(2).observe(np.ones((3, 2)), np.array([0.0, 1.0, np.inf]))


@pytest.mark.parametrize(("contexts", "rewards"), [(np.ones((2, 3)), np.ones(2)), (np.ones((2, 2)), np.ones(3))])
def test_shapes_must_fit(contexts: NDArray[np.float64], rewards: NDArray[np.float64]) -> None:
    with pytest.raises(InvalidInputError, match="need"):
        ArmStats.zero(2).observe(contexts, rewards)


def test_side_by_side_equals_one_by_one() -> None:
    a = {"x": observed([([1.0, 0.5, 0, 2], 1.0)]), "y": observed([([2.0, 0, 0, 1], 0.0)])}
    b = {"y": observed([([1.0, 1, 1, 1], 1.0)]), "z": observed([([0.5, 0, 0, 0], 0.0)])}
    merged = Statistics.of(a).merge(Statistics.of(b)).by_arm()
    assert list(merged) == ["x", "y", "z"]
    assert same(merged["y"], a["y"].merge(b["y"]))
    assert same(merged["z"], b["z"])


def test_the_exact_range_is_watched() -> None:
    gram = np.zeros((1, 3))
    assert exact_headroom(gram, 2) == 1.0
    gram[0, 0] = EXACT_LIMIT / 2
    assert exact_headroom(gram, 2) == 0.5
    require_exact(gram, 2, "here")
    gram[0, 2] = EXACT_LIMIT * 1.5
    with pytest.raises(NumericalError, match="here: sum of squares"):
        require_exact(gram, 2, "here")
