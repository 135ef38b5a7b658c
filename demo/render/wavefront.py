"""Wavefront OBJ and MTL text, read from a mapping of file names to bytes."""

import io
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.errors import FormatError
from demo.render.colour import to_linear
from demo.render.mesh import Material, Mesh

_MAX_TEXTURE = 1024
_TRIANGLE = 3


@dataclass(slots=True)
class _Faces:
    """Points and triangles gathered while reading; texture point 0 stands for "none given"."""

    vertices: list[list[float]] = field(default_factory=list)
    textures: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0]])
    corners: list[int] = field(default_factory=list)
    uvs: list[int] = field(default_factory=list)
    materials: list[int] = field(default_factory=list)

    def add(self, words: list[str], material: int) -> None:
        """One polygon as a fan of triangles."""
        polygon = []
        for word in words:
            parts = word.split("/")
            point = int(parts[0])
            uv = int(parts[1]) if len(parts) > 1 and parts[1] else 0
            # Negative numbers count back from the latest.
            polygon.append(
                (point - 1 if point > 0 else len(self.vertices) + point, uv if uv >= 0 else len(self.textures) + uv)
            )
        for i in range(1, len(polygon) - 1):
            for point, uv in (polygon[0], polygon[i], polygon[i + 1]):
                self.corners.append(point)
                self.uvs.append(uv)
            self.materials.append(material)


def read_obj(files: Mapping[str, bytes], name: str) -> Mesh:
    """Read one OBJ with the MTL libraries and textures that it names.

    Polygons become fans; lines, points and normals are skipped (normals are made anew from the faces).

    Raises:
        FormatError: the OBJ has no face, a number that is none, or a face that names a point that does not exist.
    """
    faces = _Faces()
    library: dict[str, Material] = {}
    used: dict[str, int] = {}
    current = 0
    try:
        for key, rest in _lines(files[name]):
            if key == "v":
                faces.vertices.append([float(x) for x in rest.split()[:3]])
            elif key == "vt":
                faces.textures.append([float(x) for x in rest.split()[:2]])
            elif key == "f":
                used = used or {"default": 0}
                faces.add(rest.split(), current)
            elif key == "usemtl":
                current = used.setdefault(rest, len(used))
            elif key == "mtllib":
                library |= _read_mtl(files, posixpath.join(posixpath.dirname(name), rest))
    except ValueError as error:
        msg = f"{name} is damaged: {error}"
        raise FormatError(msg) from error
    if not faces.materials:
        msg = f"{name} holds no face; give an OBJ with at least one"
        raise FormatError(msg)
    corners, uvs = np.array(faces.corners, np.int64), np.array(faces.uvs, np.int64)
    for indices, there in ((corners, len(faces.vertices)), (uvs, len(faces.textures))):
        if indices.min() < 0 or indices.max() >= there:
            msg = f"{name} has a face that names point {indices.max()} of {there}; the file is damaged"
            raise FormatError(msg)
    return Mesh(
        points=np.array(faces.vertices, np.float64),
        corners=corners.reshape(-1, 3),
        uv=np.array(faces.textures, np.float64)[uvs].reshape(-1, 3, 2),
        material=np.array(faces.materials, np.int64),
        materials=tuple(library.get(each, Material(each)) for each in used),
    )


def _lines(data: bytes) -> Iterator[tuple[str, str]]:
    for line in data.decode("utf-8", "replace").replace("\\\n", " ").splitlines():
        key, _, rest = line.strip().partition(" ")
        if rest and not key.startswith("#"):
            yield key, rest.strip()


def _read_mtl(files: Mapping[str, bytes], name: str) -> dict[str, Material]:
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for key, rest in _lines(files.get(name, b"")):
        if key == "newmtl":
            current = found.setdefault(rest, {})
        else:
            current[key] = rest
    folder = posixpath.dirname(name)
    return {each: _material(files, folder, each, values) for each, values in found.items()}


def _material(files: Mapping[str, bytes], folder: str, name: str, values: Mapping[str, str]) -> Material:
    red, green, blue = _triple(values.get("Kd"), 0.8)
    shine = float(np.mean(_triple(values.get("Ks"), 0.0)))
    hardness = float(values.get("Ns", "0").split()[0])
    path = posixpath.join(folder, posixpath.basename(values.get("map_Kd", "").replace("\\", "/")))
    return Material(
        name=name,
        colour=(red, green, blue),
        gloss=float(np.clip(np.log2(1 + hardness) / 9, 0.0, 1.0)),
        reflectance=0.02 + 0.04 * min(shine, 1.0),
        opacity=float(values.get("d", "1").split()[-1]),
        texture=_texture(files[path]) if "map_Kd" in values and path in files else None,
    )


def _triple(text: str | None, default: float) -> tuple[float, float, float]:
    values = [min(max(float(x), 0.0), 1.0) for x in text.split()[:_TRIANGLE]] if text else []
    if len(values) != _TRIANGLE:
        return (default, default, default)
    return (values[0], values[1], values[2])


def _texture(data: bytes) -> NDArray[np.float32]:
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((_MAX_TEXTURE, _MAX_TEXTURE), Image.Resampling.LANCZOS)
        pixels = np.asarray(image.convert("RGBA"), np.float32) / 255
    return np.concatenate([to_linear(pixels[..., :3]), pixels[..., 3:]], axis=-1).astype(np.float32)
