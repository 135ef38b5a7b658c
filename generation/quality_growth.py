"""Growth without a segmenter: does the product's own material go on beyond its outline, up to an edge?"""

import numpy as np
from scipy import ndimage

from generation.arrays import Floats, f32
from generation.quality_view import CloseUp, Mask

# Found by `python -m benchmarks.gate_tuning`; what they do is in docs/generate.md.
LIKE = 17.0
REACH = 0.6
SMALLEST = 0.003
MISMATCH = 13.0
EDGE = 1.5
_FEWEST = 6
_AROUND = 3
_HALF = 0.5


def growth(view: CloseUp) -> float:
    """Area outside the outline that looks like more of the product, as a share of the product's area.

    A patch counts if it begins at the outline, its colour is the product's there (RGB distance on average at most
    ``MISMATCH``), and it ends in an edge that is ``EDGE`` times as strong as that distance: surroundings that merely
    resemble the product fade, what was painted as product ends.
    """
    unlike = f32(np.min([np.sqrt(((view.behind - colour) ** 2).sum(-1)) for colour in view.beside], axis=0))
    alike = (unlike < LIKE) & view.clear & (view.away < REACH * view.size)
    alike = (ndimage.uniform_filter(f32(alike), 3) > _HALF) & view.clear
    edges = f32(ndimage.maximum_filter(_gradient(view.picture), 3))
    touching = ndimage.binary_dilation(~view.clear, iterations=2)
    labels, count = ndimage.label(alike)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    area = 0
    for number, where in enumerate(ndimage.find_objects(labels), 1):
        if sizes[number] < max(_FEWEST, SMALLEST * view.area):
            continue
        near = tuple(slice(max(0, side.start - _AROUND), side.stop + _AROUND) for side in where)
        patch = labels[near] == number
        if (patch & touching[near]).any() and _ends(patch, ~view.clear[near], unlike[near], edges[near]):
            area += int(sizes[number])
    return area / view.area


def _ends(patch: Mask, product: Mask, unlike: Floats, edges: Floats) -> bool:
    """Whether a patch is product-coloured and ends in an edge where it does not touch the product."""
    mismatch = float(unlike[patch].mean())
    outer = ndimage.binary_dilation(patch, iterations=2) & ~patch & ~ndimage.binary_dilation(product)
    if mismatch > MISMATCH or not outer.any():
        return False
    return float(np.median(edges[outer])) >= EDGE * mismatch


def _gradient(colours: Floats) -> Floats:
    """Strength of the colour gradient, Gaussian derivative of 0.8 pixels, f32[h, w]."""
    total = np.zeros(colours.shape[:2], np.float32)
    for channel in range(colours.shape[2]):
        plane = colours[..., channel]
        for order in ((0, 1), (1, 0)):
            total += ndimage.gaussian_filter(plane, 0.8, order=order) ** 2
    return np.sqrt(total)
