"""Growth without a segmenter: does the product's own material go on beyond its outline, up to an edge?"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from generation.arrays import Floats, f32
from generation.quality_view import CloseUp

# Found by `python -m benchmarks.gate_tuning`; what they do is in docs/generate.md.
LIKE = 17.0
REACH = 0.6
SMALLEST = 0.003
MISMATCH = 13.0
EDGE = 1.5
_FEWEST = 6
_AROUND = 3
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Patch:
    """A product-coloured patch that begins at the outline.

    ``area`` as a share of the product's; ``mismatch``: mean RGB distance to the product's colours; ``edge``: median
    strength of the edge that it ends in (RGB distance a pixel).
    """

    area: float
    mismatch: float
    edge: float


def growth(view: CloseUp) -> float:
    """Area outside the outline that looks like more of the product, as a share of the product's area.

    A patch counts if its colours are the product's (``MISMATCH``) and it ends in an edge that is ``EDGE`` times as
    strong as what it differs by: surroundings that merely resemble the product fade, what was painted as product ends.
    """
    return sum(p.area for p in patches(view) if p.mismatch <= MISMATCH and p.edge >= EDGE * p.mismatch)


def patches(view: CloseUp) -> tuple[Patch, ...]:
    """All product-coloured patches beside the product of at least ``SMALLEST`` of its area."""
    unlike = f32(np.min([np.sqrt(((view.behind - colour) ** 2).sum(-1)) for colour in view.beside], axis=0))
    alike = (unlike < LIKE) & view.clear & (view.away < REACH * view.size)
    alike = (ndimage.uniform_filter(f32(alike), 3) > _HALF) & view.clear
    edges = f32(ndimage.maximum_filter(_gradient(view.picture), 3))
    touching = ndimage.binary_dilation(~view.clear, iterations=2)
    labels, count = ndimage.label(alike)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    found = []
    for number, where in enumerate(ndimage.find_objects(labels), 1):
        if sizes[number] < max(_FEWEST, SMALLEST * view.area):
            continue
        near = tuple(slice(max(0, side.start - _AROUND), side.stop + _AROUND) for side in where)
        patch = labels[near] == number
        outer = ndimage.binary_dilation(patch, iterations=2) & ~patch & ~ndimage.binary_dilation(~view.clear[near])
        if (patch & touching[near]).any() and outer.any():
            mismatch, edge = float(unlike[near][patch].mean()), float(np.median(edges[near][outer]))
            found.append(Patch(float(sizes[number]) / view.area, mismatch, edge))
    return tuple(found)


def _gradient(colours: Floats) -> Floats:
    """Strength of the colour gradient, Gaussian derivative of 0.8 pixels, f32[h, w]."""
    total = np.zeros(colours.shape[:2], np.float32)
    for channel in range(colours.shape[2]):
        plane = colours[..., channel]
        for order in ((0, 1), (1, 0)):
            total += ndimage.gaussian_filter(plane, 0.8, order=order) ** 2
    return np.sqrt(total)
