"""Kinds of context fields and their plain form: what a context schema is made of."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from contracts.errors import InvalidInputError

MAX_TEXT_CHARS = 256


@dataclass(frozen=True, slots=True)
class Bias:
    """The constant 1."""

    kind: ClassVar[str] = "bias"


@dataclass(frozen=True, slots=True)
class Numeric:
    """A number v, or the ratio v of two, in [-1, 1]: 2 (t(v) - t(low)) / (t(high) - t(low)) - 1.

    v is imputed where missing or NaN, then clipped to [low, high]; t is ln where ``log``, else the identity.
    ``per`` names the feature to divide by ("" for none).
    """

    feature: str
    low: float
    high: float
    impute: float
    log: bool = False
    per: str = ""
    kind: ClassVar[str] = "numeric"


@dataclass(frozen=True, slots=True)
class OneHot:
    """One entry a known text (1 where equal), and one for every other text where ``other``; all 0 where missing."""

    feature: str
    vocabulary: tuple[str, ...]
    other: bool = False
    kind: ClassVar[str] = "one_hot"


@dataclass(frozen=True, slots=True)
class Hashed:
    """One entry a bucket: 1 where the text's hash falls; all 0 where missing."""

    feature: str
    buckets: int
    kind: ClassVar[str] = "hashed"


@dataclass(frozen=True, slots=True)
class Cross:
    """One entry for each pair of entries of two ``OneHot`` or ``Hashed`` features of a schema: 1 where both are 1."""

    left: str
    right: str
    kind: ClassVar[str] = "cross"


@dataclass(frozen=True, slots=True)
class Present:
    """1 where the feature is there (fresh, not null, not NaN), else 0."""

    feature: str
    kind: ClassVar[str] = "present"


ContextField = Bias | Numeric | OneHot | Hashed | Cross | Present
_KINDS: Mapping[str, type[ContextField]] = {kind.kind: kind for kind in (Bias, Numeric, OneHot, Hashed, Cross, Present)}


def check_field(field: ContextField) -> None:
    """Refuse a field that cannot be encoded.

    Raises:
        InvalidInputError: naming the field, the value and the rule.
    """
    match field:
        case Bias():
            return
        case Numeric():
            _check_references(field, field.feature, *([field.per] if field.per else []))
            _check_range(field)
        case OneHot():
            _check_references(field, field.feature)
            _check_vocabulary(field)
        case Hashed():
            _check_references(field, field.feature)
            if field.buckets < 1:
                _refuse(field, f"buckets = {field.buckets} must be at least 1")
        case Cross():
            _check_references(field, field.left, field.right)
            if field.left == field.right:
                _refuse(field, "a cross needs two different features")
        case Present():
            _check_references(field, field.feature)


def field_to_plain(field: ContextField) -> dict[str, object]:
    """Turn a field into JSON-ready values with its ``kind``."""
    return {"kind": field.kind, **{name: _plain(field, name, value) for name, value in asdict(field).items()}}


def field_from_plain(plain: object) -> ContextField:
    """Read what ``field_to_plain`` wrote, or a mapping a person wrote.

    Raises:
        InvalidInputError: naming what is unknown, missing or of the wrong type.
    """
    if not isinstance(plain, Mapping):
        message = f"context field {plain!r} is not a mapping with a kind"
        raise InvalidInputError(message)
    values = {str(name): value for name, value in plain.items()}
    kind = _KINDS.get(str(values.pop("kind", None)))
    if kind is None:
        message = f"context field {dict(plain)!r} has no known kind: use one of {sorted(_KINDS)}"
        raise InvalidInputError(message)
    try:
        field = kind(**{name: _typed(kind, name, value) for name, value in values.items()})
    except TypeError as error:
        message = f"context field {dict(plain)!r} is not a valid {kind.kind}: {error}"
        raise InvalidInputError(message) from error
    check_field(field)
    return field


def _plain(field: ContextField, name: str, value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    # A schema written with 1 for 1.0 is the same schema, and has the same hash.
    return float(value) if type(field).__annotations__[name] is float and isinstance(value, int) else value


def _typed(kind: type[ContextField], name: str, value: object) -> Any:
    wanted = kind.__annotations__.get(name)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted == tuple[str, ...] and isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if wanted in {str, bool, float, int} and type(value) is wanted:
        return value
    message = f"{name} = {value!r} has the wrong type" if wanted else f"unknown entry {name!r}"
    raise TypeError(message)


def _check_references(field: ContextField, *references: str) -> None:
    for reference in references:
        view, _, name = reference.partition(":")
        if not view or not name or ":" in name or len(reference) > MAX_TEXT_CHARS:
            _refuse(field, f"{reference!r} is not a feature reference: write view:feature")


def _check_range(field: Numeric) -> None:
    if not (math.isfinite(field.low) and math.isfinite(field.high) and field.low < field.high):
        _refuse(field, f"low = {field.low} must be below high = {field.high}, both finite")
    if field.log and field.low <= 0:
        _refuse(field, f"low = {field.low} must be above 0 for a logarithm")
    if not math.isfinite(field.impute):
        _refuse(field, f"impute = {field.impute} must be finite")
    span = math.log(field.high) - math.log(field.low) if field.log else field.high - field.low
    if span == 0 or not math.isfinite(span) or not math.isfinite(2 / span):
        _refuse(field, f"low = {field.low} and high = {field.high} are too near or too far apart")


def _check_vocabulary(field: OneHot) -> None:
    if not field.vocabulary or len(set(field.vocabulary)) != len(field.vocabulary):
        _refuse(field, f"vocabulary {list(field.vocabulary)} must hold distinct texts, at least one")
    if any(not 0 < len(text) <= MAX_TEXT_CHARS for text in field.vocabulary):
        _refuse(field, f"each text of the vocabulary must have 1 to {MAX_TEXT_CHARS} characters")


def _refuse(field: ContextField, reason: str) -> None:
    message = f"context field {field}: {reason}"
    raise InvalidInputError(message)
