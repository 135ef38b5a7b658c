"""The quality gate: numbers of a finished creative, and which of them break a limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image
from scipy import ndimage

from generation.arrays import Floats, Pixels, f32
from generation.layout import Placed
from generation.quality_growth import growth
from generation.quality_outline import contrast, halo
from generation.quality_product import changed, recolour, shift
from generation.quality_view import close_up

QUALITY_RECIPE = "quality/2"
# name -> (lowest, highest) that pass. How they were found is in docs/generate.md, "The gate".
LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "exposure": (16.0, 236.0),
        "burnt": (0.0, 0.30),
        "texture": (2.5, 999.0),
        "size": (0.28, 1.0),
        "contrast": (9.0, 999.0),
        "halo": (-999.0, 3.5),
        "growth": (0.0, 0.010),
        "changed": (0.0, 0.02),
        "recolour": (0.0, 8.0),
        "shift": (0.0, 0.012),
    }
)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_WHITE = 253.0
_SOLID = 0.5
_SIDE = 96
_NEAR = 0.25
_FEWEST = 50


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found: ``reasons`` are the names of the broken limits, ``numbers`` all it measured."""

    reasons: tuple[str, ...]
    numbers: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether nothing broke a limit."""
        return not self.reasons


def judge_picture(picture: Pixels, placed: Placed) -> Verdict:
    """Measure a creative u8[h, w, 3] against its placed product.

    ``exposure``: mean brightness of the background, 0 to 255; ``burnt``: its share of blown pixels; ``texture``:
    what stands out of its smooth slope, standard deviation of 255; ``size``: the product's larger share of the
    slot's sides; ``contrast``, ``halo``: see ``quality_outline``; ``growth``: see ``quality_growth``; ``changed``,
    ``recolour``, ``shift``: see ``quality_product``.
    """
    luma = picture.astype(np.float32) @ _LUMA
    behind = luma[placed.alpha <= 0]
    view = close_up(picture, placed)
    if not len(behind) or view is None:
        return verdict_of({"size": 0.0 if len(behind) else 1.0}, LIMITS)
    altered = changed(picture, placed)
    # An unaltered product is where it was put, in its own colours: nothing to search.
    same = altered <= LIMITS["changed"][1]
    numbers = {
        "exposure": float(behind.mean()),
        "burnt": float((behind >= _WHITE).mean()),
        "texture": _texture(luma, placed.alpha),
        "size": _size(placed.alpha),
        "contrast": contrast(view),
        "halo": halo(view),
        "growth": growth(view),
        "changed": altered,
        "recolour": 0.0 if same else recolour(picture, placed),
        "shift": 0.0 if same else shift(picture, placed),
    }
    return verdict_of(numbers, LIMITS)


def verdict_of(numbers: Mapping[str, float], limits: Mapping[str, tuple[float, float]]) -> Verdict:
    """The verdict on measured numbers, each with its (lowest, highest) that pass."""
    rounded = {name: round(value, 3) for name, value in numbers.items()}
    broken = tuple(name for name, value in rounded.items() if not limits[name][0] <= value <= limits[name][1])
    return Verdict(broken, MappingProxyType(rounded))


def _texture(luma: Floats, alpha: Floats) -> float:
    """What a quadratic surface leaves of the background's brightness, away from the product and its shadow."""
    factor = min(1.0, _SIDE / max(luma.shape))
    size = (max(1, round(luma.shape[1] * factor)), max(1, round(luma.shape[0] * factor)))
    small = f32(Image.fromarray(luma).resize(size, Image.Resampling.BOX))
    product = f32(Image.fromarray(alpha).resize(size, Image.Resampling.BOX))
    away = ndimage.distance_transform_edt(product <= 0)
    ground = away > _NEAR * np.sqrt((product > _SOLID).sum())
    if int(ground.sum()) < _FEWEST:
        ground = product <= 0
    if int(ground.sum()) < _FEWEST:
        return float(luma[alpha <= 0].std())
    y, x = np.mgrid[-1 : 1 : small.shape[0] * 1j, -1 : 1 : small.shape[1] * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)[ground]
    surface = terms @ np.linalg.lstsq(terms, small[ground], rcond=None)[0]
    return float((small[ground] - surface).std())


def _size(alpha: Floats) -> float:
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    tall, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    height, width = alpha.shape
    return max(tall / int(height), wide / int(width))
