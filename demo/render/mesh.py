"""Triangle meshes and their materials."""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

_MAX_VALENCE = 256
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Material:
    """How a surface answers light.

    ``colour`` is display (sRGB) in 0-1, ``gloss`` 0-1 (matt to mirror-smooth), ``reflectance`` at normal
    incidence, ``texture`` float32[h, w, 4] (linear RGB and alpha) or None. ``opacity`` below 1 lets what is behind
    through.
    """

    name: str
    colour: tuple[float, float, float] = (0.8, 0.8, 0.8)
    gloss: float = 0.3
    reflectance: float = 0.04
    metal: bool = False
    opacity: float = 1.0
    texture: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles in centimetres, y up, front towards +z.

    ``points`` f64[v, 3]; ``corners`` i64[t, 3] into points; ``uv`` f64[t, 3, 2]; ``material`` i64[t] into
    ``materials``.
    """

    points: Floats
    corners: Ints
    uv: Floats
    material: Ints
    materials: tuple[Material, ...]

    @property
    def triangles(self) -> Floats:
        """Corner positions, f64[t, 3, 3]."""
        return self.points[self.corners]


def fit_to(mesh: Mesh, width: float, depth: float, height: float) -> Mesh:
    """The mesh stretched to a box of the given size, centred on the vertical axis and standing on y = 0."""
    used = mesh.points[np.unique(mesh.corners)]
    low, high = used.min(axis=0), used.max(axis=0)
    extent = np.maximum(high - low, 1e-9)
    scale = np.array([width, height, depth]) / extent
    middle = (low + high) / 2
    middle[1] = low[1]
    return replace(mesh, points=(mesh.points - middle) * scale)


def turned(mesh: Mesh, rotation: Floats) -> Mesh:
    """The mesh with every point multiplied by a 3x3 matrix."""
    return replace(mesh, points=mesh.points @ rotation.T)


def face_normals(mesh: Mesh) -> Floats:
    """Unit normal of each triangle, f64[t, 3]; zero where a triangle has no area."""
    triangles = mesh.triangles
    normals: Floats = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), _TINY)
    return normals


def corner_normals(mesh: Mesh, crease_deg: float) -> Floats:
    """Shading normal of every triangle corner, f64[t, 3, 3].

    Averages the area-weighted normals of the faces that share the corner's position and bend away by less than
    ``crease_deg``. Exporters wind faces both ways, so a neighbour's normal counts with the sign that agrees.
    """
    triangles = mesh.triangles
    flat = face_normals(mesh)
    area = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
    span = float(np.ptp(mesh.points)) or 1.0
    welded = np.unique(np.round(mesh.points / (span * 1e-6)).astype(np.int64), axis=0, return_inverse=True)[1]
    vertex = welded.reshape(-1)[mesh.corners].reshape(-1)
    face = np.repeat(np.arange(len(flat)), 3)
    order = np.argsort(vertex, kind="stable")
    counts = np.bincount(vertex)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    valence = counts[vertex]
    partners = np.where(valence <= _MAX_VALENCE, valence, 0)
    mine = np.repeat(np.arange(len(vertex)), partners)
    offset = np.arange(len(mine)) - np.repeat(np.cumsum(partners) - partners, partners)
    other = face[order[starts[vertex[mine]] + offset]]
    dots = np.einsum("ij,ij->i", flat[face[mine]], flat[other])
    weight = np.where(np.abs(dots) >= np.cos(np.radians(crease_deg)), np.sign(dots) * area[other], 0.0)
    total = np.stack([np.bincount(mine, weight * flat[other, axis], len(vertex)) for axis in range(3)], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    smooth = np.where(length > _TINY, total / np.maximum(length, _TINY), flat[face])
    return smooth.reshape(-1, 3, 3)
