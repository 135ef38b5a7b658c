"""Intervals of click rates."""

import math

_Z = 1.959963984540054


def wilson(clicked: float, shown: float) -> tuple[float, float]:
    """95 % interval of a rate (Wilson 1927): honest for few clicks; (0, 1) for nothing shown."""
    if shown <= 0:
        return 0.0, 1.0
    rate = min(clicked / shown, 1.0)
    spread = _Z * _Z / shown
    centre = (rate + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(rate * (1 - rate) / shown + spread / (4 * shown)) / (1 + spread)
    # Exact ends where the formula would miss them by a rounding error.
    low = 0.0 if clicked <= 0 else max(0.0, centre - half)
    high = 1.0 if clicked >= shown else min(1.0, centre + half)
    return low, high
