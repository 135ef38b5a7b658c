"""A close-up of the product in its picture, of one size for all slots: what the gate's finer numbers look at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from generation.arrays import Floats, Pixels, f32
from generation.layout import Placed
from generation.matte import fill

# The product is looked at with this square root of its area in pixels, or as it is if it is smaller.
WORKING_SIZE = 160.0
# How far the close-up reaches beyond the product, in square roots of its area.
MARGIN = 0.45
_SOLID, _CLEAR, _OPAQUE = 0.5, 0.02, 0.98
_SEEN_THROUGH = 0.6
_FEWEST = 50

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CloseUp:
    """The product's surroundings, all arrays h × w; colours are f32[h, w, 3], 0 to 255.

    ``picture`` and ``alpha`` as they are; ``behind``: the picture with the product's share of soft edges taken out;
    ``away`` f32: distance to the opaque product in pixels; ``beside``: product colours brought to each pixel (from the
    nearest point, mirrored in the outline, and smoothly from all sides); ``area``: product pixels.
    """

    picture: Floats
    alpha: Floats
    behind: Floats
    away: Floats
    beside: tuple[Floats, Floats, Floats]
    area: int

    @property
    def size(self) -> float:
        """Square root of the product's area: what lengths are measured in."""
        return float(np.sqrt(self.area))

    @property
    def clear(self) -> Mask:
        """Pixels without product."""
        return self.alpha <= _CLEAR

    def beyond(self, share: float) -> Floats:
        """Background colours carried inwards from where it is ``share`` sizes away (or the farthest there is)."""
        far = self.away > share * self.size
        if int(far.sum()) < _FEWEST:
            far = self.away >= np.quantile(self.away, 0.9)
        return _carried(self.picture, far)


def close_up(picture: Pixels, placed: Placed) -> CloseUp | None:
    """The close-up; None if there is no opaque product."""
    area = int((placed.alpha > _SOLID).sum())
    if not area:
        return None
    box = _box(placed.alpha, round(MARGIN * float(np.sqrt(area))))
    weight = placed.alpha[box]
    shrink = min(1.0, WORKING_SIZE / float(np.sqrt(area)))
    alpha = _resized(weight[..., None], shrink)[..., 0]
    weighted = _resized(f32(placed.rgb[box]) * weight[..., None], shrink)
    product = f32(weighted / np.maximum(alpha, 1e-3)[..., None])
    seen = _resized(f32(picture[box]), shrink)
    core = alpha > _OPAQUE
    if not core.any():
        return None
    away, nearest = ndimage.distance_transform_edt(~core, return_indices=True)
    through = alpha[..., None]
    behind = ((seen - through * product) / np.maximum(1 - through, 1 - _SEEN_THROUGH)).clip(0, 255)
    return CloseUp(
        picture=seen,
        alpha=alpha,
        behind=_soft(f32(behind), f32(1 - alpha) * (alpha < _SEEN_THROUGH), 0.7),
        away=f32(away),
        beside=_beside(product, core, nearest),
        area=int((alpha > _SOLID).sum()),
    )


def _beside(product: Floats, core: Mask, nearest: NDArray[np.int32]) -> tuple[Floats, Floats, Floats]:
    even = _soft(product, f32(core), 1.0)
    down, right = nearest
    y, x = np.mgrid[: core.shape[0], : core.shape[1]]
    mirror_y = (2 * down - y).clip(0, core.shape[0] - 1)
    mirror_x = (2 * right - x).clip(0, core.shape[1] - 1)
    held = core[mirror_y, mirror_x]
    mirrored = even[np.where(held, mirror_y, down), np.where(held, mirror_x, right)]
    return even[down, right], mirrored, _carried(product, core)


def _carried(values: Floats, known: Mask) -> Floats:
    """Values brought from ``known`` pixels to all others, at half size: they are smooth there."""
    half = fill(np.ascontiguousarray(values[::2, ::2]), known[::2, ::2])
    height, width = known.shape
    return half.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]


def _soft(values: Floats, weight: Floats, sigma: float) -> Floats:
    """Gaussian mean of the pixels that have weight."""
    total = ndimage.gaussian_filter(values * weight[..., None], (sigma, sigma, 0))
    return f32(total / np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-4)[..., None])


def _box(alpha: Floats, margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )


def _resized(planes: Floats, factor: float) -> Floats:
    if factor >= 1:
        return f32(planes)
    size = (max(1, round(planes.shape[1] * factor)), max(1, round(planes.shape[0] * factor)))
    each = [
        f32(Image.fromarray(np.ascontiguousarray(planes[..., i])).resize(size, Image.Resampling.BOX))
        for i in range(planes.shape[2])
    ]
    return np.stack(each, axis=-1)
