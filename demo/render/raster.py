"""Which triangle each pixel sees: a z-buffer over whole arrays of triangles."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from demo.render.mesh import Floats, Ints

_CHUNK = 1_000_000
_TINY = 1e-12
_EMPTY = np.uint64(np.iinfo(np.uint64).max)

Keep: TypeAlias = Callable[[Ints, Floats], NDArray[np.bool_]]
"""(triangle ids i64[n], barycentric weights f64[n, 3]) -> which fragments exist."""


@dataclass(frozen=True, slots=True)
class Visibility:
    """Nearest triangle of each pixel, i64[h, w] (-1: none), and its depth f32[h, w] (inf: none)."""

    triangle: Ints
    depth: NDArray[np.float32]


def rasterise(
    screen: Floats, depth: Floats, width: int, height: int, *, perspective: bool, keep: Keep | None = None
) -> Visibility:
    """Nearest triangle at every pixel centre.

    ``screen`` f64[t, 3, 2] in pixels (x right, y down), ``depth`` f64[t, 3] positive. With ``perspective`` depths are
    interpolated as 1/z, otherwise linearly. Both windings count. Triangles with a corner at depth <= 0 are left out.
    ``keep`` can drop fragments (cut-out textures).
    """
    buffer = np.full(width * height, _EMPTY, np.uint64)
    usable: NDArray[np.bool_] = np.all(depth > 0, axis=1)
    levels = np.where(usable[:, None], 1 / np.where(depth > 0, depth, 1.0), 1.0) if perspective else depth
    planes, lowest, highest = _planes(screen, levels), levels.min(axis=1), levels.max(axis=1)
    for owner, column, row in _fragments(screen, usable, width, height):
        slope_x, slope_y, constant = planes[owner].T
        level = slope_x * (column + 0.5) + slope_y * (row + 0.5) + constant
        # The plane through a sliver is steep enough to overshoot its own corners.
        level = np.clip(level, lowest[owner], highest[owner])
        bits = (1 / level if perspective else level).astype(np.float32).view(np.uint32).astype(np.uint64)
        # Positive float32 bits sort like the numbers, so one integer minimum finds depth and owner together.
        keys = (bits << np.uint64(32)) | owner.astype(np.uint64)
        pixels = row * width + column
        if keep is not None:
            weights = correct(barycentric(screen[owner], column + 0.5, row + 0.5), depth[owner])
            alive = keep(owner, weights)
            keys, pixels = keys[alive], pixels[alive]
        np.minimum.at(buffer, pixels, keys)
    hit = buffer != _EMPTY
    nearest = np.where(hit, (buffer >> np.uint64(32)).astype(np.uint32).view(np.float32), np.float32(np.inf))
    triangle = np.where(hit, (buffer & np.uint64(0xFFFFFFFF)).astype(np.int64), -1)
    return Visibility(triangle.reshape(height, width), nearest.reshape(height, width).astype(np.float32))


def barycentric(corners: Floats, x: NDArray[np.floating], y: NDArray[np.floating]) -> Floats:
    """Weights f64[n, 3] of points in their triangles f64[n, 3, 2] on the screen, clipped into the triangle."""
    ax, ay, bx, by, cx, cy = (corners[:, i, j] for i in range(3) for j in range(2))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    safe = np.where(np.abs(area) > _TINY, area, 1.0)
    first = ((bx - x) * (cy - y) - (cx - x) * (by - y)) / safe
    second = ((cx - x) * (ay - y) - (ax - x) * (cy - y)) / safe
    weights: Floats = np.clip(np.stack([first, second, 1 - first - second], axis=1), 0.0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def correct(weights: Floats, depth: Floats) -> Floats:
    """Perspective-correct weights f64[n, 3] from screen weights and corner depths."""
    scaled: Floats = weights / depth
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def _planes(screen: Floats, levels: Floats) -> Floats:
    """Coefficients f64[t, 3] of level = a x + b y + c over each triangle."""
    origin, first, second = screen[:, 0], screen[:, 1] - screen[:, 0], screen[:, 2] - screen[:, 0]
    rise = levels[:, 1:] - levels[:, :1]
    area = first[:, 0] * second[:, 1] - second[:, 0] * first[:, 1]
    safe = np.where(np.abs(area) > _TINY, area, np.inf)
    slope_x = (rise[:, 0] * second[:, 1] - rise[:, 1] * first[:, 1]) / safe
    slope_y = (rise[:, 1] * first[:, 0] - rise[:, 0] * second[:, 0]) / safe
    return np.stack([slope_x, slope_y, levels[:, 0] - slope_x * origin[:, 0] - slope_y * origin[:, 1]], axis=1)


def _fragments(screen: Floats, usable: NDArray[np.bool_], width: int, height: int) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Triangle, column and row of every pixel centre inside a triangle, some millions at a time."""
    for triangle, row in _rows(screen, usable, height):
        y = row + 0.5
        left, right = np.full(len(y), np.inf), np.full(len(y), -np.inf)
        for i, j in ((0, 1), (1, 2), (2, 0)):
            start, end = screen[triangle, i], screen[triangle, j]
            rise = end[:, 1] - start[:, 1]
            crosses = ((start[:, 1] <= y) != (end[:, 1] <= y)) & (rise != 0)
            x = start[:, 0] + (y - start[:, 1]) / np.where(crosses, rise, 1.0) * (end[:, 0] - start[:, 0])
            left, right = np.where(crosses, np.minimum(left, x), left), np.where(crosses, np.maximum(right, x), right)
        first = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64)
        last = np.clip(np.floor(right - 0.5), -1, width - 1).astype(np.int64)
        for part, offset in _expand(np.maximum(last - first + 1, 0)):
            yield triangle[part], first[part] + offset, row[part]


def _rows(screen: Floats, usable: NDArray[np.bool_], height: int) -> Iterator[tuple[Ints, Ints]]:
    low = np.clip(np.ceil(screen[..., 1].min(axis=1) - 0.5), 0, height).astype(np.int64)
    high = np.clip(np.floor(screen[..., 1].max(axis=1) - 0.5), -1, height - 1).astype(np.int64)
    for triangle, offset in _expand(np.where(usable, np.maximum(high - low + 1, 0), 0)):
        yield triangle, low[triangle] + offset


def _expand(counts: Ints) -> Iterator[tuple[Ints, Ints]]:
    """For each index i, the pairs (i, 0) ... (i, counts[i] - 1), about ``_CHUNK`` pairs at a time."""
    total = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = int(total[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + _CHUNK, side="right")))
        index = np.repeat(np.arange(start, stop), counts[start:stop])
        if len(index):
            yield index, np.arange(len(index)) - (total[index] - counts[index] - before)
        start = stop
