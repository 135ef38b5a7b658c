"""The list of products to photograph, read from a recipe (products.yaml, hundred.yaml)."""

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
ATTRIBUTES = ("colour", "material")


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
    """One product, the model it is, how to finish its materials and how to photograph it.

    ``library`` is the name of the model's furniture library ("": the only one); ``borrowed`` says that the photo is
    another catalogue's.
    """

    product: Product
    model: str
    shot: Shot
    finishes: Mapping[str, Finish]
    library: str = ""
    borrowed: bool = False


def read_recipe(path: Path) -> tuple[Entry, ...]:
    """Read a recipe: products, after those that it borrows from another one.

    ``borrow`` names a recipe beside this one, the folder of its catalogue as seen from this catalogue, and for each
    product taken its ``category`` here and its attributes.

    Raises:
        InvalidInputError: another version, a field that is missing or unknown, or an item id given twice.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if document.get("version") != _VERSION:
        msg = f"{path} has version {document.get('version')!r}; this program reads version {_VERSION}"
        raise InvalidInputError(msg)
    borrowed = _borrowed(path, document["borrow"]) if "borrow" in document else ()
    entries = (*borrowed, *(_entry(path, each) for each in document["products"]))
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


def _borrowed(path: Path, fields: Mapping[str, Any]) -> tuple[Entry, ...]:
    theirs = {entry.product.item_id: entry for entry in read_recipe(path.parent / fields["recipe"])}
    entries = []
    for item, said in fields["products"].items():
        if item not in theirs:
            msg = f"{path}: {fields['recipe']} has no product {item!r} to borrow"
            raise InvalidInputError(msg)
        entry = theirs[item]
        product = replace(
            entry.product,
            category=str(said["category"]),
            image_uri=f"{fields['folder']}/{entry.product.image_uri}",
            attributes=_attributes(said),
        )
        entries.append(replace(entry, product=product, library=fields.get("library", ""), borrowed=True))
    return tuple(entries)


def _attributes(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(fields[name])) for name in ATTRIBUTES if name in fields)


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
            attributes=_attributes(fields),
        )
        finishes = {name: _finish(values) for name, values in fields.get("finishes", {}).items()}
        shot = Shot(**fields.get("shot", {}))
        return Entry(product, str(fields["model"]), shot, finishes, str(fields.get("library", "")))
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{path}: product {fields.get('id', '?')!r} has a bad or missing field: {error}"
        raise InvalidInputError(msg) from error


def _finish(values: Mapping[str, Any]) -> Finish:
    colour = values.get("colour")
    return Finish(**{**values, "colour": None if colour is None else _hex(colour)})


def _hex(text: str) -> tuple[float, float, float]:
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return (red / 255, green / 255, blue / 255)
