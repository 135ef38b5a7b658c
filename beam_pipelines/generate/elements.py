"""What travels between the stages, as bytes: products, what is wanted of them, what was made. No pictures but once."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from beam_pipelines.generate.manifest import ManifestRow
from contracts import CreativeSpec, Product

_NEWLINE = b"\n"


@dataclass(frozen=True, slots=True)
class Item:
    """A row of the catalogue; its photo is the object ``kept`` or, if that is "", what ``image_uri`` names."""

    product: Product
    kept: str = ""

    def to_bytes(self) -> bytes:
        """Write as one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Item":
        """Read what ``to_bytes`` wrote."""
        plain = json.loads(data)
        return cls(_product(plain["product"]), plain["kept"])


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that shoppers may see: what the creative index needs of it."""

    placement: str
    arm: str
    creative_id: str
    path: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Example:
    """A product for the model: the ``specs`` to paint, and its cut-out's object; ``done`` is what needs no painting."""

    cutout: str
    specs: tuple[CreativeSpec, ...]
    done: "Done"

    def to_bytes(self) -> bytes:
        """Write as JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Example":
        """Read what ``to_bytes`` wrote."""
        plain = json.loads(data)
        return cls(plain["cutout"], tuple(_spec(each) for each in plain["specs"]), _done(plain["done"]))


@dataclass(frozen=True, slots=True)
class Done:
    """A product with all that is done of it: manifest ``rows`` of what this run made, and what existed (``shown``)."""

    item_id: str
    rows: tuple[ManifestRow, ...]
    shown: tuple[Shown, ...]

    def to_bytes(self) -> bytes:
        """Write as JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Done":
        """Read what ``to_bytes`` wrote."""
        return _done(json.loads(data))


@dataclass(frozen=True, slots=True)
class Painted:
    """What the model stage gives of a product: pictures (files, as ``made`` names them) and ``failed`` ones.

    ``done`` is what came with the example; ``failed`` are (reason, sentence) for each picture that was not made.
    """

    done: Done
    made: tuple[ManifestRow, ...]
    files: tuple[bytes, ...]
    failed: tuple[tuple[str, str], ...]

    def to_bytes(self) -> bytes:
        """A line of JSON, and behind it the files, end to end: their lengths are in their rows."""
        plain = {"done": asdict(self.done), "made": [asdict(row) for row in self.made], "failed": self.failed}
        return b"".join([json.dumps(plain, separators=(",", ":")).encode(), _NEWLINE, *self.files])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Painted":
        """Read what ``to_bytes`` wrote."""
        end = data.index(_NEWLINE)
        plain = json.loads(data[:end])
        made = _rows(plain["made"])
        files, at = [], end + 1
        for row in made:
            files.append(data[at : at + row.bytes])
            at += row.bytes
        failed = tuple((reason, detail) for reason, detail in plain["failed"])
        return cls(_done(plain["done"]), made, tuple(files), failed)


def _product(plain: Mapping[str, Any]) -> Product:
    return Product(**{**plain, "attributes": tuple((name, value) for name, value in plain["attributes"])})


def _spec(plain: Mapping[str, Any]) -> CreativeSpec:
    tags = tuple((name, tag) for name, tag in plain["tags"])
    return CreativeSpec(**{**plain, "tags": tags, "safe": tuple(plain["safe"])})


def _done(plain: Mapping[str, Any]) -> Done:
    return Done(plain["item_id"], _rows(plain["rows"]), tuple(Shown(**each) for each in plain["shown"]))


def _rows(plain: list[Mapping[str, Any]]) -> tuple[ManifestRow, ...]:
    return tuple(ManifestRow(**{**row, "reasons": tuple(row["reasons"])}) for row in plain)
