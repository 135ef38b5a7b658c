"""Cut the finished picture out again: has the product's outline moved, is there another object."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from generation.arrays import Pixels
from generation.cutout import Segmenter
from generation.layout import Placed
from generation.quality_view import Mask
from generation.shapes import grown

RECUT_LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "recut_growth": (0.0, 0.20),
        "recut_iou": (0.60, 1.0),
        "recut_reach": (0.0, 0.45),
        "second_object": (0.0, 0.15),
    }
)
_MARGIN = 0.6
_SOLID = 0.5
_SLACK = 0.02


def recut(picture: Pixels, placed: Placed, segmenter: Segmenter) -> dict[str, float]:
    """Compare a fresh mask of the product's surroundings with where the product was put.

    ``recut_growth``: area of the mask beyond the outline that hangs together with the product, as a share of the
    product's area; ``recut_iou``: overlap of mask and product; ``recut_reach``: how far
    out the mask's farthest twentieth beyond the outline lies, in square roots of the product's area;
    ``second_object``: area of the largest part of the mask away from the product, as a share of the product's.
    """
    solid = placed.alpha > _SOLID
    area = int(solid.sum())
    size = float(np.sqrt(area))
    box = _box(solid, round(_MARGIN * size))
    solid = solid[box]
    mask = segmenter.mask(np.ascontiguousarray(picture[box])) > _SOLID
    near = grown(solid, max(2, round(_SLACK * size)))
    labels, count = ndimage.label(mask | solid)
    own = np.unique(labels[near & (labels > 0)])
    beyond = np.isin(labels, own) & mask & ~near
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    others = [int(sizes[number]) for number in range(1, count + 1) if number not in own]
    away = ndimage.distance_transform_edt(~solid)[beyond] / size
    return {
        "recut_growth": float(beyond.sum()) / area,
        "recut_iou": float((mask & solid).sum() / (mask | solid).sum()),
        "recut_reach": float(np.quantile(away, 0.95)) if len(away) else 0.0,
        "second_object": max(others, default=0) / area,
    }


def _box(shape: Mask, margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )
