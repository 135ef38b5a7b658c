"""The ground: a textured plane seen in true perspective, sharp where the product stands, soft far away."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from generation.arrays import Floats, f32
from generation.procedural.materials import Texture

_SUBSAMPLE = 1e-4


@dataclass(frozen=True, slots=True)
class Stage:
    """Where things are in the picture, all in pixels: a pinhole camera whose sensor is shifted, not tilted.

    The product stands on row ``floor``; the plane's vanishing line is row ``horizon`` (above ``floor``), its
    far edge row ``edge`` between them. ``focal`` is the lens, ``unit`` the product's larger side, ``centre``
    the column the camera faces, ``blur`` the radius of a point infinitely far away.
    """

    width: int
    height: int
    floor: float
    horizon: float
    edge: float
    focal: float
    unit: float
    centre: float
    blur: float

    def nearness(self, rows: Floats) -> Floats:
        """Focus distance over distance of the ground at ``rows`` (1 at the product, above 1 in front of it)."""
        depth = (rows - np.float32(self.horizon)) / np.float32(self.floor - self.horizon)
        return f32(np.maximum(depth, 0.02))

    def blur_at(self, rows: Floats) -> Floats:
        """Blur radius in pixels of the ground at ``rows``: thin lens, proportional to |1 - nearness|."""
        return np.float32(self.blur) * np.abs(1 - self.nearness(rows))

    def ground(self, row: float, column: float) -> tuple[float, float]:
        """Ground coordinates (across, away) in units of ``unit`` of a pixel; the product's foot is (., 0)."""
        near = float(self.nearness(f32([row]))[0])
        return (column - self.centre) / near / self.unit, self.focal * (1 / near - 1) / self.unit


def render_ground(stage: Stage, texture: Texture, origin: tuple[float, float]) -> Floats:
    """The plane from row ``floor(edge)`` - margin down: f32[rows, width, 3], display values 0 to 1.

    Level of detail by row: the larger of the sampling footprint and the depth of field, blended between
    two levels. ``origin`` shifts the texture (shares of a tile). Rows start at ``first_row(stage)``.
    """
    top = first_row(stage)
    rows = np.arange(top, stage.height, dtype=np.float32)
    near = stage.nearness(rows + 0.5)
    size = texture.levels[0].shape[0]
    texels = size / (texture.scale * stage.unit)
    across = texels / near
    down = texels * stage.focal / (stage.floor - stage.horizon) / near**2
    footprint = np.maximum(np.sqrt(across * down) * 0.8, stage.blur_at(rows + 0.5) * 2.0 * across)
    level = np.clip(np.log2(np.maximum(footprint, 1.0)), 0, len(texture.levels) - 1.001)
    picture = np.zeros((len(rows), stage.width, 3), np.float32)
    for index in range(int(level.min()), min(int(level.max()) + 2, len(texture.levels))):
        share = np.clip(1 - np.abs(level - index), 0, 1)
        used = np.flatnonzero(share > _SUBSAMPLE)
        if len(used):
            first, last = int(used[0]), int(used[-1]) + 1
            seen = _project(stage, texture, index, (top + first, top + last), origin)
            picture[first:last] += seen * share[first:last, None, None]
    return picture / np.float32(255)


def first_row(stage: Stage) -> int:
    """First row of ``render_ground``: a little above the far edge, for that edge is soft."""
    return max(0, int(max(stage.edge - 3 * stage.blur - 4, stage.horizon + 2)))


def _project(stage: Stage, texture: Texture, level: int, rows: tuple[int, int], origin: tuple[float, float]) -> Floats:
    """One level of the texture through the homography of the ground, for ``rows``: f32[n, width, 3], 0 to 255."""
    tile = texture.levels[level]
    size = tile.shape[0]
    texels = size / (texture.scale * stage.unit)
    corners = [stage.ground(row, column) for row in rows for column in (0.0, float(stage.width))]
    left = int(np.floor(min(x for x, _ in corners) * stage.unit * texels)) - 2
    right = int(np.ceil(max(x for x, _ in corners) * stage.unit * texels)) + 3
    near = int(np.floor(min(z for _, z in corners) * stage.unit * texels)) - 2
    far = int(np.ceil(max(z for _, z in corners) * stage.unit * texels)) + 3
    across = (np.arange(left, right) + round(origin[0] * size)) % size
    # Farther is higher up in the picture: the tile's rows run away from the camera.
    down = (np.arange(far, near, -1) + round(origin[1] * size)) % size
    laid = Image.fromarray(tile[down[:, None], across[None, :]])
    # u = texels (x - centre) / n - left, v = far - texels focal (1 / n - 1), n = (y - horizon) / (floor - horizon).
    reach = stage.floor - stage.horizon
    start = rows[0] - stage.horizon
    base = far + texels * stage.focal
    numbers = np.array(
        [
            texels * reach, -left, -texels * reach * stage.centre - left * start,
            0.0, base, base * start - texels * stage.focal * reach,
            0.0, 1.0, start,
        ]
    )  # fmt: skip
    numbers /= numbers[-1]
    data = tuple(float(value) for value in numbers[:8])
    out = laid.transform((stage.width, rows[1] - rows[0]), Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR)
    return f32(out)
