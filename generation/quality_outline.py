"""The ring round the product: does it stand out from the background, and is there a pale seam."""

import numpy as np

from generation.quality_view import CloseUp, Mask

_BEYOND = 0.04
_WIDTH, _NARROWEST = 0.012, 2.5
_SEEN = 0.5
# This share of the ring must be lighter.
_MOST = 0.7


def contrast(view: CloseUp) -> float:
    """RGB distance between the product and what is right behind its outline, on average along it, 0 to 442."""
    ring = _ring(view)
    if not ring.any():
        return 0.0
    gap = view.behind[ring] - view.beside[0][ring]
    return float(np.sqrt((gap**2).sum(-1)).mean())


def halo(view: CloseUp) -> float:
    """How much lighter most of the ring is than the background beyond it, -255 to 255.

    In the channel in which that background is darkest: a pale seam lifts it most, and other light does not.
    """
    ring = _ring(view)
    if not ring.any():
        return 0.0
    beyond = view.beyond(_BEYOND)[ring]
    darkest = beyond.argmin(axis=-1)[:, None]
    lighter = np.take_along_axis(view.behind[ring] - beyond, darkest, axis=-1)
    return float(np.quantile(lighter, 1 - _MOST))


def _ring(view: CloseUp) -> Mask:
    ring: Mask = (view.alpha < _SEEN) & (view.away <= max(_NARROWEST, _WIDTH * view.size) + 1)
    return ring
