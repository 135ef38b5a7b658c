"""Paste the original product back over whatever a backend painted (design, idea 14)."""

import numpy as np

from contracts import BackdropError
from generation.arrays import Pixels
from generation.layout import Placed

COMPOSITE_RECIPE = "composite/1"


class ProductChangedError(BackdropError):
    """An opaque product pixel is not the original's: a bug, never a matter of degree."""


def composite(background: Pixels, placed: Placed) -> Pixels:
    """The creative u8[h, w, 3]: product over background by alpha, opaque pixels exactly the product's.

    Raises:
        ProductChangedError: if an opaque pixel differs after all.
    """
    if background.shape != placed.rgb.shape:
        message = f"background is {background.shape}, the slot is {placed.rgb.shape}"
        raise ProductChangedError(message)
    out = background.copy()
    rows, columns = np.flatnonzero(placed.alpha.any(axis=1)), np.flatnonzero(placed.alpha.any(axis=0))
    if len(rows):
        box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        alpha = placed.alpha[box][..., None]
        blended = placed.rgb[box] * alpha + background[box] * (1 - alpha)
        out[box] = (blended + 0.5).astype(np.uint8)
    require_unchanged(out, placed)
    return out


def require_unchanged(picture: Pixels, placed: Placed) -> None:
    """Compare the opaque pixels of a picture with the product's.

    Raises:
        ProductChangedError: with the number of pixels that differ.
    """
    opaque = placed.alpha >= 1.0
    changed = int((picture[opaque] != placed.rgb[opaque]).any(axis=-1).sum())
    if changed:
        message = f"{changed} of {int(opaque.sum())} opaque product pixels changed"
        raise ProductChangedError(message)
