import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner import wilson


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_wilson_holds_its_defining_equation(clicked: int, missed: int) -> None:
    shown = clicked + missed
    low, high = wilson(clicked, shown)
    assert 0.0 <= low <= high <= 1.0
    if shown:
        rate = clicked / shown
        for bound in (low, high):
            # Both ends solve |rate - p| = z sqrt(p (1 - p) / n).
            left = abs(rate - bound)
            right = 1.959963984540054 * math.sqrt(bound * (1 - bound) / shown)
            assert left == pytest.approx(right, abs=1e-9)


@pytest.mark.parametrize(
    ("clicks", "shown", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (30, 1000, 0.0211, 0.0425)],
)
def test_wilson_agrees_with_published_values(clicks: int, shown: int, low: float, high: float) -> None:
    assert wilson(clicks, shown) == pytest.approx((low, high), abs=6e-5)


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
