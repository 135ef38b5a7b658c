"""Studio light: many small lamps, each with its own shadow."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.render.mesh import Floats, Mesh
from demo.render.raster import rasterise

_MAP = 640
_STEEP = 0.95


@dataclass(frozen=True, slots=True)
class Lamp:
    """Light from far away: unit ``direction`` towards it, f64[3], and linear RGB ``power``, f64[3]."""

    direction: Floats
    power: Floats


@dataclass(frozen=True, slots=True)
class ShadowMap:
    """How far along one lamp's direction the mesh reaches, seen from the lamp."""

    axes: Floats
    middle: Floats
    texel: float
    reach: float
    depth: NDArray[np.float32]

    def lit(self, points: Floats, normals: Floats) -> NDArray[np.float32]:
        """1 where the lamp reaches a point f64[n, 3] and 0 where something stands between; blurred over one texel."""
        axes = self.axes.astype(np.float32)
        # Single precision is plenty for a shadow and halves the memory that every lamp moves.
        points32, normals32 = points.astype(np.float32), normals.astype(np.float32)
        slope = np.clip(np.abs(normals32 @ axes[2]), 0.15, 1.0)
        shifted = points32 + normals32 * np.float32(1.5 * self.texel) - self.middle.astype(np.float32)
        local = shifted @ axes.T
        column = local[:, 0] / np.float32(self.texel) + np.float32(_MAP / 2 - 0.5)
        row = -local[:, 1] / np.float32(self.texel) + np.float32(_MAP / 2 - 0.5)
        level = local[:, 2] + np.float32(self.reach) - np.float32(1.5 * self.texel) / slope
        # The map's outermost texels are always empty, so clipping into them means "lit".
        x = np.clip(column, 0, _MAP - 2).astype(np.int32)
        y = np.clip(row, 0, _MAP - 2).astype(np.int32)
        fx, fy = np.clip(column - x, 0, 1), np.clip(row - y, 0, 1)
        flat, corner = self.depth.reshape(-1), y * np.int32(_MAP) + x
        upper = (level <= flat[corner]) * (1 - fx) + (level <= flat[corner + 1]) * fx
        lower = (level <= flat[corner + _MAP]) * (1 - fx) + (level <= flat[corner + _MAP + 1]) * fx
        lit: NDArray[np.float32] = upper * (1 - fy) + lower * fy
        return lit


def shadow_map(mesh: Mesh, direction: Floats) -> ShadowMap:
    """Shadow map of the mesh for a lamp in a direction (unit f64[3])."""
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    middle = (low + high) / 2
    reach = float(np.linalg.norm(high - low)) / 2 + 1e-6
    forward = -direction
    helper = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < _STEEP else np.array([1.0, 0.0, 0.0])
    right = np.cross(forward, helper)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(right, forward), forward])
    texel = 2 * reach / (_MAP - 4)
    local = (mesh.triangles - middle) @ axes.T
    screen = np.stack([local[..., 0] / texel + _MAP / 2, -local[..., 1] / texel + _MAP / 2], axis=-1)
    seen = rasterise(screen, local[..., 2] + reach + 1e-3, _MAP, _MAP, perspective=False)
    return ShadowMap(axes, middle, texel, reach, seen.depth)


def studio_lamps(yaw_deg: float, dome: int = 40, key: int = 20) -> tuple[Lamp, ...]:
    """A soft key from the camera's upper left, a weak fill from its right, and a dome of sky light.

    ``yaw_deg`` is the camera's, so that light stays where a photographer would leave it.
    """
    lamps = []
    golden = np.pi * (3 - np.sqrt(5))
    for i in range(dome):
        y = 0.06 + 0.94 * (i + 0.5) / dome
        lamps.append(Lamp(_around(np.arcsin(y), i * golden), np.full(3, 1.02 / dome) * (0.75 + 0.5 * y)))
    for count, azimuth, elevation, spread, power in (
        (key, -42.0, 50.0, 19.0, np.array([1.50, 1.47, 1.40])),
        (4, 62.0, 30.0, 14.0, np.array([0.30, 0.32, 0.35])),
    ):
        for i in range(count):
            away = np.radians(spread) * np.sqrt((i + 0.5) / count)
            tilt, turn = away * np.sin(i * golden), away * np.cos(i * golden)
            direction = _around(np.radians(elevation) + tilt, np.radians(yaw_deg + azimuth) + turn)
            lamps.append(Lamp(direction, power / count))
    return tuple(lamps)


def _around(elevation: float, azimuth: float) -> Floats:
    return np.array(
        [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)],
    )
