"""How safe the numbers are: conditioning and exact range by arm."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts import NumericalError
from learner.linucb import check_weights
from learner.packed import unpack
from learner.statistics import Statistics, exact_headroom, require_finite

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class ArmNumerics:
    """Of one arm with ``n`` decisions: ``condition`` of A = ridge·I + G, and how much of the exact range is used.

    ``condition`` is λ_max / λ_min: solving for θ loses about log₁₀ of it of float64's 16 digits, and a pack in float32
    has 7. ``exact_used`` is the largest sum of squares over ``EXACT_LIMIT``: above 1 sums are no longer exact.
    """

    arm: str
    n: float
    ridge: float
    condition: float
    exact_used: float


def numerics_of(stats: Statistics, *, ridge: float) -> tuple[ArmNumerics, ...]:
    """Report every arm's numbers, in the statistics' order.

    Raises:
        InvalidInputError: if ``ridge`` is not above 0.
        NumericalError: if sums are not finite.
    """
    check_weights(alpha=0.0, ridge=ridge)
    require_finite(stats)
    # The ridge moves every eigenvalue alike; those of G are not below 0 but for rounding.
    spectrum = np.maximum(np.linalg.eigvalsh(unpack(stats.gram, stats.d)), 0.0) + ridge
    return tuple(
        ArmNumerics(
            arm,
            float(stats.n[i]),
            ridge,
            float(spectrum[i, -1] / spectrum[i, 0]),
            1.0 - exact_headroom(stats.gram[i], stats.d),
        )
        for i, arm in enumerate(stats.arms)
    )


def require_positive(matrices: NDArray[np.float64], arms: Sequence[str]) -> None:
    """Refuse matrices (K, d, d) that are not finite, symmetric and, within rounding, positive semidefinite.

    Raises:
        NumericalError: naming the first arm whose matrix is none.
    """
    for arm, matrix in zip(arms, matrices, strict=True):
        if not np.isfinite(matrix).all():
            message = f"arm {arm!r}: its variance matrix holds values that are not finite: raise ridge"
            raise NumericalError(message)
        slack = _ROUNDING * float(np.abs(matrix).max())
        skew = float(np.abs(matrix - matrix.T).max())
        lowest = float(np.linalg.eigvalsh(matrix)[0])
        if skew > slack or lowest < -slack:
            message = (
                f"arm {arm!r}: its variance matrix has a smallest eigenvalue of {lowest:.3g} and is off symmetry by "
                f"{skew:.3g}, at most {slack:.3g} is rounding: raise ridge"
            )
            raise NumericalError(message)
