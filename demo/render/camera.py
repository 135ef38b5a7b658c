"""A camera that always frames the whole product."""

from dataclasses import dataclass

import numpy as np

from demo.render.mesh import Floats

_NEAREST = 1e-9


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole: rows of ``axes`` are right, up, forward; a point's pixel is ``centre + focal * (x, -y) / z``."""

    position: Floats
    axes: Floats
    focal: float
    centre: Floats

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Pixels f64[..., 2] and depths f64[...] of world points f64[..., 3]."""
        local = (points - self.position) @ self.axes.T
        depth = local[..., 2]
        flat = local[..., :2] * np.array([1.0, -1.0]) / np.where(np.abs(depth) > _NEAREST, depth, _NEAREST)[..., None]
        return self.centre + self.focal * flat, depth

    def rays(self, x: Floats, y: Floats) -> Floats:
        """Unit directions f64[n, 3] through pixels."""
        local = np.stack(
            [(x - self.centre[0]) / self.focal, -(y - self.centre[1]) / self.focal, np.ones_like(x)], axis=1
        )
        world: Floats = local @ self.axes
        world /= np.linalg.norm(world, axis=1, keepdims=True)
        return world


def frame(points: Floats, yaw_deg: float, elevation_deg: float, size: int, fill: float, lens: float = 4.2) -> Camera:
    """A camera of ``size`` x ``size`` pixels that sees the points centred, their longer side ``fill`` of the frame.

    ``yaw_deg`` turns the camera to the product's left or right (0: its front), ``lens`` is the distance in units of
    the product's radius: larger is flatter.
    """
    yaw, elevation = np.radians(yaw_deg), np.radians(elevation_deg)
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    radius = float(np.linalg.norm(high - low)) / 2
    back = np.array([np.sin(yaw) * np.cos(elevation), np.sin(elevation), np.cos(yaw) * np.cos(elevation)])
    forward = -back
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(right, forward), forward])
    probe = Camera(middle + back * radius * lens, axes, 1.0, np.zeros(2))
    flat = probe.project(points)[0]
    lowest, highest = flat.min(axis=0), flat.max(axis=0)
    focal = fill * size / float((highest - lowest).max())
    centre = np.array([size / 2, size / 2]) - focal * (lowest + highest) / 2
    return Camera(probe.position, axes, focal, centre)
