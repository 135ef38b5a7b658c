"""Display colour, linear light, and the way from one to the other."""

import numpy as np
from numpy.typing import NDArray

# Where the sRGB curve turns from a line into a power: display value, linear value.
_DISPLAY_BREAK = 0.04045
_LINEAR_BREAK = 0.0031308


def to_linear(display: NDArray[np.floating]) -> NDArray[np.float64]:
    """Linear light of sRGB values in 0-1 (IEC 61966-2-1)."""
    values = np.asarray(display, np.float64)
    return np.where(
        values <= _DISPLAY_BREAK, values / 12.92, ((np.maximum(values, _DISPLAY_BREAK) + 0.055) / 1.055) ** 2.4
    )


def to_display(linear: NDArray[np.floating]) -> NDArray[np.float64]:
    """Display (sRGB) values of linear light in 0-1 (IEC 61966-2-1)."""
    values = np.clip(np.asarray(linear, np.float64), 0.0, 1.0)
    return np.where(
        values <= _LINEAR_BREAK, values * 12.92, 1.055 * np.maximum(values, _LINEAR_BREAK) ** (1 / 2.4) - 0.055
    )


def tone_map(linear: NDArray[np.floating], knee: float = 0.7) -> NDArray[np.float64]:
    """Linear light squeezed below 1: untouched up to ``knee``, then an exponential shoulder with no kink."""
    values = np.asarray(linear, np.float64)
    over = np.maximum(values - knee, 0.0) / (1 - knee)
    return np.where(values <= knee, values, knee + (1 - knee) * (1 - np.exp(-over)))
