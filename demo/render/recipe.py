"""The list of products to photograph, read from products.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from contracts.catalogue import Product
from contracts.errors import InvalidInputError
from demo.render.mesh import Material, Mesh
from demo.render.studio import Shot

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Finish:
    """What to change on one material of a model; None keeps the model's own value."""

    colour: tuple[float, float, float] | None = None
    gloss: float | None = None
    reflectance: float | None = None
    metal: bool | None = None
    opacity: float | None = None

    def on(self, material: Material) -> Material:
        """The material with these changes; a colour also replaces its texture."""
        return replace(
            material,
            colour=material.colour if self.colour is None else self.colour,
            texture=material.texture if self.colour is None else None,
            gloss=material.gloss if self.gloss is None else self.gloss,
            reflectance=material.reflectance if self.reflectance is None else self.reflectance,
            metal=material.metal if self.metal is None else self.metal,
            opacity=material.opacity if self.opacity is None else self.opacity,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One product, the model it is, how to finish its materials and how to photograph it."""

    product: Product
    model: str
    shot: Shot
    finishes: Mapping[str, Finish]


def read_recipe(path: Path) -> tuple[Entry, ...]:
    """Read products.yaml.

    Raises:
        InvalidInputError: another version, a field that is missing or unknown, or an item id given twice.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if document.get("version") != _VERSION:
        msg = f"{path} has version {document.get('version')!r}; this program reads version {_VERSION}"
        raise InvalidInputError(msg)
    entries = tuple(_entry(path, each) for each in document["products"])
    ids = [entry.product.item_id for entry in entries]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        msg = f"{path} lists {', '.join(twice)} more than once; item ids must differ"
        raise InvalidInputError(msg)
    return entries


def finished(mesh: Mesh, finishes: Mapping[str, Finish]) -> Mesh:
    """The mesh with some of its materials changed.

    Raises:
        InvalidInputError: a finish is for a material that the mesh does not have.
    """
    names = {material.name for material in mesh.materials}
    if unknown := sorted(set(finishes) - names):
        msg = f"no material {', '.join(unknown)}; this model has {', '.join(sorted(names))}"
        raise InvalidInputError(msg)
    materials = tuple(finishes.get(material.name, Finish()).on(material) for material in mesh.materials)
    return replace(mesh, materials=materials)


def _entry(path: Path, fields: Mapping[str, Any]) -> Entry:
    try:
        item = str(fields["id"])
        product = Product(
            item_id=item,
            category=str(fields["category"]),
            title=str(fields["title"]),
            description=" ".join(str(fields["description"]).split()),
            price=float(fields["price"]),
            brand=str(fields["brand"]),
            image_uri=f"photos/{item}.jpg",
        )
        finishes = {name: _finish(values) for name, values in fields.get("finishes", {}).items()}
        return Entry(product, str(fields["model"]), Shot(**fields.get("shot", {})), finishes)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{path}: product {fields.get('id', '?')!r} has a bad or missing field: {error}"
        raise InvalidInputError(msg) from error


def _finish(values: Mapping[str, Any]) -> Finish:
    colour = values.get("colour")
    return Finish(**{**values, "colour": None if colour is None else _hex(colour)})


def _hex(text: str) -> tuple[float, float, float]:
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return (red / 255, green / 255, blue / 255)
