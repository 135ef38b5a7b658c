"""The catalogue: rows of the file become Products, or dead letters with a reason."""

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from contracts import InvalidInputError, Product, check_name
from generation.feeds import CATEGORY_COLUMNS, BadRow, Row, read_rows
from generation.prompt_values import NEVER_SAID, attributes_of

MAX_TEXT = 10_000
_TAKEN = NEVER_SAID | {"title", "category", "description", "brand"}
# "149", "149.00 EUR", "EUR 1,149.00": what product feeds hold.
_PRICE = re.compile(r"(?:[A-Z]{3} ?)?(\d+|\d{1,3}(?:,\d{3})+)(\.\d+)?(?: ?[A-Z]{3})?")


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
    """Read a whole catalogue, as ``iter_catalogue`` does.

    Raises:
        InvalidInputError: if the file is missing, is not of its format, or lacks a column.
    """
    products: list[Product] = []
    dead: list[DeadRow] = []
    for entry in iter_catalogue(path, categories):
        if isinstance(entry, Product):
            products.append(entry)
        else:
            dead.append(entry)
    return Catalogue(tuple(products), tuple(dead), path.parent)


def iter_catalogue(path: Path, categories: Collection[str]) -> Iterator[Product | DeadRow]:
    """Products of a catalogue in order, streamed; a row that breaks a rule is a ``DeadRow``, the others go on.

    Only the ids are kept, to find repeated ones. Formats are those of ``read_rows``. A row without a ``category``
    is of the most specific part of its ``product_type`` or ``google_product_category`` ("Home > Seating") that is
    one of ``categories``.

    Reasons: ``bad_row`` (a place in the file that holds no row), ``bad_item_id``, ``duplicate_id`` (the first row
    stays), ``unknown_category``, ``empty_title``, ``bad_price``, ``no_image``, ``bad_text``.

    Raises:
        InvalidInputError: if the file is missing, is not of its format, or lacks a column.
    """
    seen: set[str] = set()
    for row in read_rows(path):
        if isinstance(row, BadRow):
            yield DeadRow("", "bad_row", f"{row.where}: {row.detail}")
            continue
        item = _plain(row, "item_id")
        try:
            yield _product(row, item, seen, categories)
        except _RowError as error:
            yield DeadRow(item, error.reason, str(error))
        seen.add(item)


class _RowError(InvalidInputError):
    """Why one row is refused."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def _product(row: Row, item: str, seen: Collection[str], categories: Collection[str]) -> Product:
    try:
        check_name("item_id", item)
    except InvalidInputError as error:
        raise _RowError(str(error), "bad_item_id") from error
    if item in seen:
        message = f"item_id {item!r} occurs again: the first row is used"
        raise _RowError(message, "duplicate_id")
    category = _category(row, categories)
    title = _text(row, "title").strip()
    if not title:
        message = "title is empty: give the product's name"
        raise _RowError(message, "empty_title")
    uri = _plain(row, "image_uri")
    if not uri:
        message = "image_uri is empty: give the photo's path or URI"
        raise _RowError(message, "no_image")
    return Product(
        item,
        category,
        title,
        _text(row, "description"),
        _price(row.get("price")),
        _text(row, "brand"),
        uri,
        attributes_of(row, _TAKEN),
    )


def _plain(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()


def _category(row: Row, categories: Collection[str]) -> str:
    named = {name: _plain(row, name) for name in CATEGORY_COLUMNS}
    if named["category"] in categories:
        return named["category"]
    if not named["category"]:
        for path in named.values():
            for part in reversed(path.split(">")):
                slug = part.strip().lower().replace(" ", "-")
                if slug in categories:
                    return slug
    given = {name: value[:80] for name, value in named.items() if value}
    message = f"{given or 'no category'} has no prompts; known are {sorted(categories)}"
    raise _RowError(message, "unknown_category")


def _text(row: Row, name: str) -> str:
    value = _plain(row, name)
    if len(value) > MAX_TEXT:
        message = f"{name} has {len(value)} characters, the limit is {MAX_TEXT}"
        raise _RowError(message, "bad_text")
    return value


def _price(value: object) -> float:
    price = math.nan
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        price = float(value)
    elif isinstance(value, str) and (found := _PRICE.fullmatch(value.strip())):
        price = float(found[1].replace(",", "") + (found[2] or ""))
    if not math.isfinite(price) or price < 0:
        message = f"price is {str(value)[:40]!r}: it must be a number of at least 0, such as 149 or 149.00 EUR"
        raise _RowError(message, "bad_price")
    return price
