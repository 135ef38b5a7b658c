"""Is the product in the picture the one that was placed: its colours, and where it stands."""

import numpy as np
from PIL import Image
from scipy import ndimage

from generation.arrays import Floats, Pixels, f32
from generation.layout import Placed
from generation.quality_view import Mask

# What rounding and a good JPEG change.
_SAME = 12.0
_SIDE = 96
_OPAQUE = 0.98
_BETTER = 0.5


def changed(picture: Pixels, placed: Placed) -> float:
    """Share of opaque product pixels that differ by more than a good JPEG changes (RGB distance, 3 × 3 mean)."""
    opaque = placed.alpha >= 1.0
    if not opaque.any():
        return 0.0
    box = _box(opaque)
    gap = (f32(picture[box]) - f32(placed.rgb[box])) * opaque[box][..., None]
    if not gap.any():
        return 0.0
    weight = ndimage.uniform_filter(f32(opaque[box]), 3)
    mean = ndimage.uniform_filter(gap, (3, 3, 1)) / np.maximum(weight, 0.1)[..., None]
    return float((np.sqrt((mean**2).sum(-1)) > _SAME)[opaque[box]].mean())


def recolour(picture: Pixels, placed: Placed) -> float:
    """RGB distance between the product's colours as placed and as painted, over its middle, means of a tenth of it."""
    opaque = placed.alpha >= 1.0
    box = _box(opaque)
    weight = f32(opaque[box])
    reach = max(3, round(float(np.sqrt(opaque.sum())) * 0.1))
    gap = (f32(picture[box]) - f32(placed.rgb[box])) * weight[..., None]
    covered = ndimage.uniform_filter(weight, reach)
    mean = ndimage.uniform_filter(gap, (reach, reach, 1)) / np.maximum(covered, 0.1)[..., None]
    return float(np.sqrt((mean**2).sum(-1))[opaque[box]].mean())


def shift(picture: Pixels, placed: Placed) -> float:
    """How far the product must be moved to fit the picture best, as a share of its size.

    Tries every whole offset up to a quarter of the product at a working size of 96 pixels and compares its grey
    values; an offset counts only if it fits clearly better than where the product should be.
    """
    size = float(np.sqrt((placed.alpha >= 1.0).sum()))
    if not size:
        return 0.0
    factor = min(1.0, _SIDE / size)
    alpha, seen = _small(placed.alpha, factor), _small(f32(picture).mean(-1), factor)
    product = f32(_small(f32(placed.rgb).mean(-1) * placed.alpha, factor) / np.maximum(alpha, 1e-3))
    weight = f32(alpha > _OPAQUE)
    if not weight.any():
        return 0.0
    reach = max(1, round(size * factor / 4))
    costs = _misfits(seen, product, weight, reach)
    down, right = np.unravel_index(int(np.argmin(costs)), costs.shape)
    if costs[down, right] >= _BETTER * costs[reach, reach]:
        return 0.0
    return float(np.hypot(int(down) - reach, int(right) - reach)) / (size * factor)


def _misfits(seen: Floats, product: Floats, weight: Floats, reach: int) -> Floats:
    """Mean squared difference for every offset: f32[2 reach + 1, 2 reach + 1]; three correlations."""
    padded = np.pad(seen, reach, mode="edge")
    # Of mean 0, because the transforms are of float32.
    level = float(seen.mean())
    padded, product = padded - level, (product - level) * weight
    shape = padded.shape

    def correlated(one: Floats, other: Floats) -> Floats:
        spectrum = np.fft.rfft2(one) * np.conj(np.fft.rfft2(other, s=shape))
        return f32(np.fft.irfft2(spectrum, s=shape)[: 2 * reach + 1, : 2 * reach + 1])

    total = correlated(padded**2, weight) - 2 * correlated(padded, product) + float((product**2).sum())
    return f32(np.maximum(total, 0) / weight.sum())


def _small(plane: Floats, factor: float) -> Floats:
    size = (max(1, round(plane.shape[1] * factor)), max(1, round(plane.shape[0] * factor)))
    return f32(Image.fromarray(f32(plane)).resize(size, Image.Resampling.BOX))


def _box(shape: Mask) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
