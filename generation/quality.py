"""The quality gate: numbers of a finished creative, and which of them break a limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from generation.arrays import Floats, Pixels, f32
from generation.layout import Placed
from generation.shapes import grown, shrunk

QUALITY_RECIPE = "quality/1"
# name -> (lowest, highest) that pass.
LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "exposure": (16.0, 236.0),
        "burnt": (0.0, 0.30),
        "texture": (3.5, 999.0),
        "size": (0.28, 1.0),
        "contrast": (9.0, 999.0),
        "halo": (-999.0, 12.0),
    }
)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_WHITE = 253.0
_SOLID = 0.5


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
    its standard deviation; ``size``: the product's larger share of the slot's sides; ``contrast``: RGB distance
    between product and background along the outline; ``halo``: how much brighter the outline is than both sides.
    """
    luma = picture.astype(np.float32) @ _LUMA
    behind = luma[placed.alpha <= 0]
    if not len(behind):
        return Verdict(("size",), MappingProxyType({"size": 1.0}))
    contrast, halo = _outline(picture, luma, placed.alpha)
    numbers = {
        "exposure": float(behind.mean()),
        "burnt": float((behind >= _WHITE).mean()),
        "texture": float(behind.std()),
        "size": _size(placed.alpha),
        "contrast": contrast,
        "halo": halo,
    }
    rounded = {name: round(value, 3) for name, value in numbers.items()}
    broken = tuple(name for name, (low, high) in LIMITS.items() if not low <= rounded[name] <= high)
    return Verdict(broken, MappingProxyType(rounded))


def _size(alpha: Floats) -> float:
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if not len(rows):
        return 0.0
    tall, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    height, width = alpha.shape
    return max(tall / int(height), wide / int(width))


def _outline(picture: Pixels, luma: Floats, alpha: Floats) -> tuple[float, float]:
    """Contrast and halo along the outline, from three rings: 2-4 pixels inside, the edge, 2-5 outside."""
    solid = alpha > _SOLID
    near, core = grown(solid, 2), shrunk(solid, 1)
    inside, outside, edge = core & ~shrunk(solid, 4), grown(solid, 5) & ~near, near & ~core
    if not inside.any() or not outside.any() or not edge.any():
        return 0.0, 0.0
    # Along the outline, not over all of it: a half dark and half light product must not cancel out.
    local_in, local_out = _spread(picture, inside), _spread(picture, outside)
    gap = np.sqrt(((local_in - local_out) ** 2).sum(-1))[edge[::2, ::2]]
    halo = float(luma[edge].mean() - max(luma[inside].mean(), luma[outside].mean()))
    return float(gap.mean()), halo


def _spread(picture: Pixels, ring: NDArray[np.bool_]) -> Floats:
    """Mean colour of a ring near each pixel, at half size: f32[h/2, w/2, 3]."""
    weight = ring[::2, ::2].astype(np.float32)
    masked = np.concatenate([picture[::2, ::2] * weight[..., None], weight[..., None] * 255], axis=-1)
    image = Image.fromarray(masked.astype(np.uint8), "RGBA").filter(ImageFilter.BoxBlur(5))
    blurred = f32(image)
    return f32((blurred[..., :3] / np.maximum(blurred[..., 3:], 1.0) * 255).clip(0, 255))
