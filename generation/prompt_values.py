"""What a product says of itself: its attributes read from a row, and cleaned for use in a prompt."""

import math
import unicodedata
from collections.abc import Collection, Mapping
from decimal import Decimal

from contracts import Product
from generation.prompt_template import attribute_name

MAX_ATTRIBUTES, MAX_ATTRIBUTE_CHARS = 64, 200
# Where a row has more columns than are kept, these of Google's product data are kept before others.
_FIRST = frozenset(
    ("colour", "material", "pattern", "size", "size_type", "size_system", "gender", "age_group", "condition", "style")
)  # fmt: skip
_MAX_NAME_CHARS = 64
# Controls, private use, unassigned; of formats only the joiners that emoji and scripts need are kept.
_DROPPED = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"


def attributes_of(row: Mapping[str, object], taken: Collection[str]) -> tuple[tuple[str, str], ...]:
    """The columns of a row that are not ``taken`` as (name, value), by name: texts and numbers of 1 to 200 characters.

    Links, lists, truth values and longer texts are none. Of more than 64 those that describe the product's looks
    stay, then the first by name. Of two spellings of a name (``color``, ``colour``) the first column counts.
    """
    found: dict[str, str] = {}
    for column, value in row.items():
        name = attribute_name(column)
        text = _as_text(value)
        fits = 0 < len(text) <= MAX_ATTRIBUTE_CHARS and 0 < len(name) <= _MAX_NAME_CHARS
        if column not in taken and name not in found and fits and "://" not in text:
            found[name] = text
    kept = sorted(found, key=lambda name: (name not in _FIRST, name))[:MAX_ATTRIBUTES]
    return tuple((name, found[name]) for name in sorted(kept))


def values_of(product: Product) -> dict[str, str]:
    """What placeholders may name: the product's attributes, and its title, brand, category and description."""
    named = {
        "title": product.title,
        "brand": product.brand,
        "category": product.category,
        "description": product.description,
    }
    return {**dict(product.attributes), **named}


def cleaned(text: str) -> str:
    """``text`` in composed form (NFC), without control, direction and unassigned characters, its blanks single."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(_kept(character) for character in composed).split())


def odd_character(text: str) -> str | None:
    """The first character of ``text`` that ``cleaned`` would take out, blanks aside; None if there is none."""
    return next((c for c in text if not c.isspace() and _kept(c) != c), None)


def _kept(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in _DROPPED:
        return " "
    return "" if kind == "Cf" and character not in _JOINERS else character


def _as_text(value: object) -> str:
    if isinstance(value, bool) or value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    return cleaned(str(value)) if isinstance(value, str | int | Decimal) else ""
