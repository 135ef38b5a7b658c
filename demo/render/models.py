"""Models of a Sweet Home 3D furniture library (.sh3f): a zip of OBJ files and a properties file."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contracts.errors import InvalidInputError
from demo.render.mesh import Mesh, fit_to, turned
from demo.render.wavefront import read_obj

# What licence texts of the libraries say, link targets and file names included.
_TERMS = {
    "CC0 1.0": r"publicdomain/(?:zero|mark)/1\.0|choose/zero|\bCC-?(?:0|Zero)\b",
    "CC BY 3.0": r"licenses/by/3\.0|\bCC-BY\b|Creative Commons Attribution 3\.0|\bAttribution 3\.0",
}
_REFUSED = r"non-?commercial|no-?deriv|share-?alike|by-(?:nc|nd|sa)"
_PROPERTY = re.compile(r"^(\w+)#(\d+)=(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the library; sizes in centimetres, ``key`` is its file name without extension."""

    key: str
    name: str
    creator: str
    path: str
    width: float
    depth: float
    height: float
    rotation: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Library:
    """An opened furniture library."""

    path: Path
    models: dict[str, Model]

    def load(self, key: str) -> Mesh:
        """The mesh of a model at its catalogue size.

        Raises:
            InvalidInputError: the library has no such model.
        """
        if key not in self.models:
            msg = (
                f"no model {key!r} in {self.path}; it has {len(self.models)}: {', '.join(sorted(self.models)[:5])}, ..."
            )
            raise InvalidInputError(msg)
        model = self.models[key]
        folder = model.path.rpartition("/")[0] + "/"
        with zipfile.ZipFile(self.path) as archive:
            files = {name: archive.read(name) for name in archive.namelist() if name.startswith(folder)}
        mesh = read_obj(files, model.path)
        if model.rotation is not None:
            mesh = turned(mesh, np.array(model.rotation).reshape(3, 3))
        return fit_to(mesh, model.width, model.depth, model.height)

    def licence(self, key: str) -> str:
        """The licence text packed with a model, or else with the library; empty where there is none."""
        folder = self.models[key].path.rpartition("/")[0] + "/"
        with zipfile.ZipFile(self.path) as archive:
            found = [name for name in archive.namelist() if "licen" in name.lower()]
            names = [name for name in found if name.startswith(folder)] or [name for name in found if "/" not in name]
            text = "\n".join(archive.read(name).decode("utf-8", "replace") for name in names)
        return " ".join(text.split())

    def terms(self, key: str) -> str:
        """``CC0 1.0`` or ``CC BY 3.0``, as the licence text packed with a model says.

        Raises:
            InvalidInputError: the text says neither, both, or asks for more than attribution.
        """
        text = self.licence(key)
        said = [name for name, pattern in _TERMS.items() if re.search(pattern, text, re.IGNORECASE)]
        if len(said) != 1 or re.search(_REFUSED, text, re.IGNORECASE):
            msg = f"model {key!r} of {self.path.name} is under {said or 'unknown terms'}: take another model"
            raise InvalidInputError(msg)
        return said[0]


def open_library(path: Path) -> Library:
    """Read the index of a furniture library.

    Raises:
        InvalidInputError: the file is not there, or is no furniture library.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read("PluginFurnitureCatalog.properties").decode("latin-1")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        msg = f"{path} is no furniture library ({error}); install Debian's sweethome3d-furniture or give its .sh3f file"
        raise InvalidInputError(msg) from error
    entries: dict[str, dict[str, str]] = {}
    for name, number, value in _PROPERTY.findall(text):
        entries.setdefault(number, {})[name] = value.strip()
    models = [_model(entry) for entry in entries.values()]
    return Library(path, {model.key: model for model in models})


def _model(entry: dict[str, str]) -> Model:
    path = entry["model"].lstrip("/")
    rotation = entry.get("modelRotation")
    return Model(
        key=path.rpartition("/")[2].removesuffix(".obj"),
        name=entry["name"],
        creator=entry.get("creator", ""),
        path=path,
        width=float(entry["width"]),
        depth=float(entry["depth"]),
        height=float(entry["height"]),
        rotation=tuple(float(x) for x in rotation.split()) if rotation else None,
    )
