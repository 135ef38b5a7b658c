"""The catalogue: rows of products.parquet become Products, or dead letters with a reason."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts import InvalidInputError, Product, check_name

COLUMNS = ("item_id", "category", "title", "description", "price", "brand", "image_uri")
MAX_TEXT = 10_000


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A catalogue row that cannot become a picture: ``reason`` is a short code, ``detail`` the sentence."""

    item_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a catalogue file holds; ``folder`` is where relative image URIs begin."""

    products: tuple[Product, ...]
    dead: tuple[DeadRow, ...]
    folder: Path


def read_catalogue(path: Path, categories: Collection[str]) -> Catalogue:
    """Read a Parquet catalogue; a row that breaks a rule is a ``DeadRow``, the others go on.

    Reasons: ``bad_item_id``, ``duplicate_id`` (the first row stays), ``unknown_category`` (none of
    ``categories``), ``empty_title``, ``bad_price``, ``no_image``, ``bad_text``.

    Raises:
        InvalidInputError: if the file is missing, is no Parquet file, or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
            if missing:
                message = f"catalogue {path} lacks the columns {missing}; it needs {list(COLUMNS)}"
                raise InvalidInputError(message)
            products: list[Product] = []
            dead: list[DeadRow] = []
            seen: set[str] = set()
            for row in _rows(file):
                item = str(row["item_id"] or "")
                try:
                    products.append(_product(row, seen, categories))
                except _RowError as error:
                    dead.append(DeadRow(item, error.reason, str(error)))
                seen.add(item)
    except (OSError, pa.ArrowInvalid) as error:
        message = f"catalogue {path} cannot be read ({error}): give a Parquet file with {list(COLUMNS)}"
        raise InvalidInputError(message) from error
    return Catalogue(tuple(products), tuple(dead), path.parent)


class _RowError(InvalidInputError):
    """Why one row is refused."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def _rows(file: pq.ParquetFile) -> Iterator[Mapping[str, object]]:
    for batch in file.iter_batches(columns=list(COLUMNS)):
        yield from batch.to_pylist()


def _product(row: Mapping[str, object], seen: Collection[str], categories: Collection[str]) -> Product:
    item = str(row["item_id"] or "")
    try:
        check_name("item_id", item)
    except InvalidInputError as error:
        raise _RowError(str(error), "bad_item_id") from error
    if item in seen:
        message = f"item_id {item!r} occurs again: the first row is used"
        raise _RowError(message, "duplicate_id")
    category = str(row["category"] or "")
    if category not in categories:
        message = f"category {category!r} has no prompts; known are {sorted(categories)}"
        raise _RowError(message, "unknown_category")
    title = _text(row, "title").strip()
    if not title:
        message = "title is empty: give the product's name"
        raise _RowError(message, "empty_title")
    uri = str(row["image_uri"] or "").strip()
    if not uri:
        message = "image_uri is empty: give the photo's path or URI"
        raise _RowError(message, "no_image")
    return Product(item, category, title, _text(row, "description"), _price(row["price"]), _text(row, "brand"), uri)


def _text(row: Mapping[str, object], name: str) -> str:
    value = str(row[name] or "")
    if len(value) > MAX_TEXT:
        message = f"{name} has {len(value)} characters, the limit is {MAX_TEXT}"
        raise _RowError(message, "bad_text")
    return value


def _price(value: object) -> float:
    price = float(value) if isinstance(value, int | float) else math.nan
    if not math.isfinite(price) or price < 0:
        message = f"price is {value!r}: it must be a number of at least 0"
        raise _RowError(message, "bad_price")
    return price
