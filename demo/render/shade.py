"""Colour of what the camera sees: deferred shading of visible points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.render.camera import Camera
from demo.render.colour import to_linear
from demo.render.light import Lamp, ShadowMap
from demo.render.mesh import Floats, Ints, Mesh, face_normals
from demo.render.raster import Keep, Visibility, barycentric, correct

_FLOOR_BOUNCE = 0.30
_SOLID = 0.5


@dataclass(frozen=True, slots=True)
class Surface:
    """Points that the camera sees.

    ``position``, ``normal`` and ``view`` (both unit and towards the camera) and linear ``albedo`` are f64[n, 3];
    ``gloss``, ``reflectance``, ``metal`` and ``opacity`` f64[n].
    """

    position: Floats
    normal: Floats
    view: Floats
    albedo: Floats
    gloss: Floats
    reflectance: Floats
    metal: Floats
    opacity: Floats


def surface_at(mesh: Mesh, normals: Floats, camera: Camera, seen: Visibility, pixels: Ints) -> Surface:
    """Surface points behind pixels (i64[n], flat indices) that a visibility buffer says are covered.

    ``normals`` f64[t, 3, 3] are the corners' shading normals.
    """
    width = seen.triangle.shape[1]
    owner = seen.triangle.reshape(-1)[pixels]
    corners = mesh.triangles[owner]
    screen, depth = camera.project(corners)
    weights = correct(barycentric(screen, pixels % width + 0.5, pixels // width + 0.5), depth)
    position = np.einsum("nc,ncd->nd", weights, corners)
    normal = np.einsum("nc,ncd->nd", weights, normals[owner])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    view = camera.position - position
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    # Sides are told by the flat face: a smooth normal may bend past the silhouette without being a back side.
    flat = face_normals(mesh)[owner]
    flat = np.where(np.einsum("nd,nd->n", flat, view)[:, None] < 0, -flat, flat)
    normal = np.where(np.einsum("nd,nd->n", normal, flat)[:, None] < 0, -normal, normal)
    uv = np.einsum("nc,ncd->nd", weights, mesh.uv[owner])
    material = mesh.material[owner]
    albedo = np.zeros_like(position)
    for index, each in enumerate(mesh.materials):
        here = material == index
        if each.texture is None:
            albedo[here] = to_linear(np.array(each.colour))
        elif here.any():
            albedo[here] = sample(each.texture, uv[here])[:, :3]

    def per_material(values: Sequence[float]) -> Floats:
        return np.array(values, np.float64)[material]

    return Surface(
        position=position,
        normal=normal,
        view=view,
        albedo=albedo,
        gloss=per_material([each.gloss for each in mesh.materials]),
        reflectance=per_material([each.reflectance for each in mesh.materials]),
        metal=per_material([float(each.metal) for each in mesh.materials]),
        opacity=per_material([each.opacity for each in mesh.materials]),
    )


def sample(texture: NDArray[np.float32], uv: Floats) -> Floats:
    """Bilinear texture values f64[n, c] at uv f64[n, 2] (v up, repeating)."""
    height, width = texture.shape[:2]
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = (x - left)[:, None], (y - top)[:, None]

    def texel(dx: int, dy: int) -> Floats:
        found: Floats = texture[(top + dy) % height, (left + dx) % width].astype(np.float64)
        return found

    upper = texel(0, 0) * (1 - fx) + texel(1, 0) * fx
    lower = texel(0, 1) * (1 - fx) + texel(1, 1) * fx
    blended: Floats = upper * (1 - fy) + lower * fy
    return blended


def opaque_fragments(mesh: Mesh) -> Keep | None:
    """A fragment filter that cuts out transparent texels, or None where no texture has any."""
    cut = [i for i, m in enumerate(mesh.materials) if m.texture is not None and float(m.texture[..., 3].min()) < 1]
    if not cut:
        return None

    def keep(triangle: Ints, weights: Floats) -> NDArray[np.bool_]:
        alive = np.ones(len(triangle), bool)
        uv = np.einsum("nc,ncd->nd", weights, mesh.uv[triangle])
        for index in cut:
            texture = mesh.materials[index].texture
            here = mesh.material[triangle] == index
            if texture is not None and here.any():
                alive[here] = sample(texture, uv[here])[:, 3] > _SOLID
        return alive

    return keep


def shade(surface: Surface, lamps: Sequence[Lamp], shadows: Sequence[ShadowMap], yaw_deg: float) -> Floats:
    """Linear RGB f64[n, 3] that leaves surface points towards the camera.

    Lambert's diffuse term under shadowed lamps, light bounced off the floor, and a studio of softboxes mirrored with
    Schlick's Fresnel term (Schlick 1994, eq. 15). How much sky a point sees also dims what it mirrors.
    """
    arriving = np.zeros_like(surface.position)
    open_sky, whole_sky = np.zeros(len(arriving)), np.full(len(arriving), 1e-9)
    for lamp, shadow in zip(lamps, shadows, strict=True):
        cosine = surface.normal @ lamp.direction
        here = np.flatnonzero(cosine > 0)
        visible = shadow.lit(surface.position[here], surface.normal[here])
        arriving[here] += (cosine[here] * visible)[:, None] * lamp.power
        open_sky[here] += visible * lamp.power.sum()
        whole_sky[here] += lamp.power.sum()
    sky = (open_sky / whole_sky)[:, None]
    arriving += _FLOOR_BOUNCE * (0.5 - 0.5 * surface.normal[:, 1:2]) * (0.35 + 0.65 * sky)
    facing = np.clip(np.einsum("nd,nd->n", surface.normal, surface.view), 0.0, 1.0)[:, None]
    mirrored = 2 * facing * surface.normal - surface.view
    studio = softboxes(mirrored, surface.gloss, yaw_deg) * (0.3 + 0.7 * sky)
    metal = surface.metal[:, None]
    base = surface.reflectance[:, None] * (1 - metal) + surface.albedo * metal
    rim = (1 - facing) ** 5 * (0.25 + 0.75 * surface.gloss[:, None])
    fresnel = base + np.maximum(0.9 - base, 0) * rim * (0.35 + 0.65 * metal)
    leaving: Floats = surface.albedo * arriving * (1 - metal) * (1 - fresnel) + studio * fresnel
    return leaving


def softboxes(direction: Floats, gloss: Floats, yaw_deg: float) -> Floats:
    """Radiance f64[n, 3] of a photo studio seen in directions f64[n, 3]: two softboxes, a ceiling, walls and a floor.

    Less ``gloss`` (f64[n], 0-1) sees it more blurred.
    """
    blur: Floats = 0.03 + 0.6 * (1 - gloss) ** 1.5
    yaw = np.radians(yaw_deg)
    height = direction[:, 1]
    walls = 0.30 + 0.45 * _step(height, -0.2, 0.9, blur)
    floor = 0.42 * _step(-height, 0.02, 0.25, blur)
    total: Floats = walls * (1 - _step(-height, 0.0, 0.2, blur)) + floor
    for azimuth, elevation, width, power in ((-0.75, 0.75, 0.42, 3.2), (1.15, 0.45, 0.30, 1.4)):
        turn = yaw + azimuth
        centre = np.array([np.cos(elevation) * np.sin(turn), np.sin(elevation), np.cos(elevation) * np.cos(turn)])
        away = np.arccos(np.clip(direction @ centre, -1.0, 1.0))
        # A box seen blurred keeps its energy: dimmer as it spreads.
        total = total + power * (width / (width + blur)) ** 2 * _step(-away, -width - blur, -width + blur, 0 * blur)
    return np.repeat(total[:, None], 3, axis=1)


def _step(value: Floats, low: Floats | float, high: Floats | float, blur: Floats) -> Floats:
    start, stop = low - blur, high + blur
    t = np.clip((value - start) / (stop - start), 0.0, 1.0)
    smooth: Floats = t * t * (3 - 2 * t)
    return smooth
