"""A product photo: mesh, camera, lamps, backdrop and a faint contact shadow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.render.camera import Camera, frame
from demo.render.colour import to_display, to_linear, tone_map
from demo.render.light import Lamp, ShadowMap, shadow_map, studio_lamps
from demo.render.mesh import Floats, Mesh, corner_normals
from demo.render.raster import Visibility, rasterise
from demo.render.shade import opaque_fragments, shade, surface_at

_ROWS = 400_000
_COARSER = 4
_SHADOW = 0.55
_HORIZON = -1e-3
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Shot:
    """How to photograph: camera angles in degrees, the backdrop's display grey (0-1), exposure as a factor.

    ``crease_deg`` is the angle up to which neighbouring faces are smoothed into one another.
    """

    yaw_deg: float = 30.0
    elevation_deg: float = 14.0
    backdrop: float = 0.86
    exposure: float = 0.92
    crease_deg: float = 42.0
    fill: float = 0.72


def photograph(mesh: Mesh, shot: Shot, size: int = 1000, supersample: int = 2) -> Image.Image:
    """An RGB picture of ``size`` x ``size`` pixels of a mesh that stands on y = 0."""
    large = size * supersample
    used = mesh.points[np.unique(mesh.corners)]
    camera = frame(used, shot.yaw_deg, shot.elevation_deg, large, shot.fill)
    lamps = studio_lamps(shot.yaw_deg)
    solid = _only(mesh, opaque=True)
    shadows = [shadow_map(solid if len(solid.corners) else mesh, lamp.direction) for lamp in lamps]
    light = _backdrop(camera, shot, large, lamps, shadows)
    nearest = np.full((large, large), np.inf, np.float32)
    for layer in (solid, _only(mesh, opaque=False)):
        if not len(layer.corners):
            continue
        seen = _see(layer, camera, large)
        normals = corner_normals(layer, shot.crease_deg)
        pixels = np.flatnonzero((seen.triangle >= 0) & (seen.depth < nearest))
        for part in np.array_split(pixels, max(1, len(pixels) // _ROWS)):
            surface = surface_at(layer, normals, camera, seen, part)
            colour = shade(surface, lamps, shadows, shot.yaw_deg) * shot.exposure
            opacity = surface.opacity[:, None]
            light[part] = colour * opacity + light[part] * (1 - opacity)
        nearest = np.minimum(nearest, seen.depth)
    pictured = tone_map(light).reshape(size, supersample, size, supersample, 3).mean(axis=(1, 3))
    return Image.fromarray(np.round(to_display(pictured) * 255).astype(np.uint8), "RGB")


def outline(mesh: Mesh, shot: Shot, size: int = 1000, supersample: int = 2) -> Image.Image:
    """What of ``photograph`` is the product: a black and white picture, white where it fills half a pixel or more."""
    large = size * supersample
    camera = frame(mesh.points[np.unique(mesh.corners)], shot.yaw_deg, shot.elevation_deg, large, shot.fill)
    seen = _see(mesh, camera, large).triangle >= 0
    return Image.fromarray(seen.reshape(size, supersample, size, supersample).mean(axis=(1, 3)) >= _HALF)


def _see(mesh: Mesh, camera: Camera, size: int) -> Visibility:
    screen, depth = camera.project(mesh.triangles)
    return rasterise(screen, depth, size, size, perspective=True, keep=opaque_fragments(mesh))


def _only(mesh: Mesh, *, opaque: bool) -> Mesh:
    solid = np.array([material.opacity >= 1 for material in mesh.materials])[mesh.material] == opaque
    return replace(mesh, corners=mesh.corners[solid], uv=mesh.uv[solid], material=mesh.material[solid])


def _backdrop(camera: Camera, shot: Shot, size: int, lamps: Sequence[Lamp], shadows: Sequence[ShadowMap]) -> Floats:
    """Linear RGB f64[size * size, 3] of the empty backdrop with the product's shadow on it."""
    row, column = np.mgrid[0:size, 0:size] / size
    away = np.hypot(column - 0.5, (row - 0.45) * 0.9)
    grey = shot.backdrop + 0.05 - 0.16 * np.clip(away / 0.7, 0, 1) ** 2 - 0.03 * row
    # The shadow is soft: a coarse grid, stretched, looks the same and costs a sixteenth.
    coarse = max(size // _COARSER, 1)
    shadow = Image.fromarray(_floor_shadow(camera, size, coarse, lamps, shadows))
    shadowed = np.asarray(shadow.resize((size, size), Image.Resampling.BICUBIC), np.float64).clip(0, 1)
    light = to_linear(grey) * (1 - _SHADOW * shadowed)
    return np.repeat(light.reshape(-1, 1), 3, axis=1)


def _floor_shadow(
    camera: Camera, size: int, coarse: int, lamps: Sequence[Lamp], shadows: Sequence[ShadowMap]
) -> NDArray[np.float32]:
    """Share of light that the product keeps from the floor, f32[coarse, coarse]."""
    row, column = (np.mgrid[0:coarse, 0:coarse].reshape(2, -1) + 0.5) * (size / coarse)
    rays = camera.rays(column, row)
    below = rays[:, 1] < _HORIZON
    distance = np.where(below, -camera.position[1] / np.where(below, rays[:, 1], -1.0), 0.0)
    points = camera.position + rays * distance[:, None]
    up = np.broadcast_to(np.array([0.0, 1.0, 0.0]), points.shape)
    got, full = np.zeros(len(points)), 0.0
    for lamp, shadow in zip(lamps, shadows, strict=True):
        weight = float(lamp.power.sum() * lamp.direction[1])
        got += weight * shadow.lit(points, up)
        full += weight
    return np.where(below, 1 - got / full, 0.0).reshape(coarse, coarse).astype(np.float32)
