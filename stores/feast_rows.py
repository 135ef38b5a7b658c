"""One entity's part of a read plan, compiled: the request's bytes and where each reply value goes."""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from contracts import ContextSchema, FormatError, PlannedEntity, SettingsError, key_prefix, key_value
from stores.feast_values import Value, decode_timestamp, decode_value
from stores.round_trip import Reply, pack_arguments

_NANOS_PER_MS = 1_000_000
_MEMO = 16_384

_FLOAT = struct.Struct("<xf")
_FLOAT_TAG, _FLOAT_BYTES = 0x35, 5
_TEXT_TAG, _SHORT = 0x12, 0x80


class Rows:
    """n rows in the making, of f features each.

    ``values`` and codes (n f, NaN where there is none) and whether they are ``stale`` (n f), row after row; ``texts``
    by reference (n), and whether any of a row's texts is older than its view's TTL, ``stale_texts`` (n).
    """

    __slots__ = ("damaged", "stale", "stale_texts", "texts", "values")

    def __init__(self, count: int, values: list[float], stale: bytearray) -> None:
        """``count`` rows that all start as one row's ``values`` and ``stale``."""
        self.values = values * count
        self.stale = stale * count
        self.texts: list[dict[str, str]] = [{} for _ in range(count)]
        self.stale_texts = [False] * count
        self.damaged = 0


class _Number(NamedTuple):
    """A feature that is a number: its place in the reply, its column in the row."""

    place: int
    column: int


class _Text(NamedTuple):
    """A feature that is a text: its place in the reply; its column (-1: none) and code; whether it is itself wanted."""

    place: int
    column: int
    code: Callable[[str], float] | None
    wanted: bool
    reference: str


class _View(NamedTuple):
    """One view: the place of its event time, its TTL (0: none), and those of its features that a decision uses."""

    stamp: int
    ttl_ns: int
    numbers: tuple[_Number, ...]
    texts: tuple[_Text, ...]


@dataclass(frozen=True, slots=True)
class EntityReader:
    """Asks for one entity and decodes the reply.

    ``template`` is the packed HMGET with room for the key's length and value; ``features`` maps every reference
    to its place in the reply; rows have ``width`` columns.
    """

    key_type: str
    template: bytes
    key_bytes: int
    views: tuple[_View, ...]
    features: Mapping[str, int]
    width: int

    def request(self, value: str) -> bytes:
        """The packed HMGET for the entity ``value``.

        Raises:
            InvalidInputError: if ``value`` cannot be a key of this entity.
        """
        key = key_value(self.key_type, value)
        return self.template % (self.key_bytes + len(key), key)

    def known(self, reply: Reply) -> bool:
        """Whether anything is stored of the entity."""
        return reply is not None and any(reply[place] is not None for place in self.features.values())

    def decode(self, reply: Reply, now_ms: int, rows: Rows, row: int) -> None:
        """Put a reply's values into a row, by its number."""
        if reply is None:
            return
        start = row * self.width
        for view in self.views:
            stale = view.ttl_ns != 0 and _event_ns(reply[view.stamp]) < now_ms * _NANOS_PER_MS - view.ttl_ns
            if view.numbers:
                _put_numbers(view.numbers, reply, rows, start, stale)
            if view.texts:
                _put_texts(view.texts, reply, rows, start, row, stale)

    def values(self, reply: Reply) -> dict[str, Value]:
        """Each feature's value, None where missing or null.

        Raises:
            FormatError: if a stored value cannot be decoded.
        """
        return {
            reference: None if reply is None or reply[place] is None else decode_value(reply[place])
            for reference, place in self.features.items()
        }


def compile_entity(
    entity: PlannedEntity,
    project: str,
    columns: Mapping[str, int],
    schema: ContextSchema,
    texts: frozenset[str],
) -> EntityReader:
    """Lay out an entity's reads; ``columns`` maps references to columns of the row, ``texts`` are wanted as they are.

    Raises:
        SettingsError: if a feature is text where the schema takes a number, or the other way round.
    """
    fields: list[bytes] = []
    views: list[_View] = []
    features: dict[str, int] = {}
    for view in entity.views:
        numbers: list[_Number] = []
        coded: list[_Text] = []
        for feature in view.features:
            reference = f"{view.name}:{feature.name}"
            column = columns.get(reference, -1)
            is_text = feature.value_type == "STRING"
            if (column >= 0 and schema.is_text(column) != is_text) or (reference in texts and not is_text):
                message = f"{reference} is {feature.value_type}, which the context schema or serving cannot take"
                raise SettingsError(message)
            features[reference] = len(fields)
            if is_text and (column >= 0 or reference in texts):
                code = schema.coder(column) if column >= 0 else None
                coded.append(_Text(len(fields), column, code, reference in texts, reference))
            elif column >= 0:
                numbers.append(_Number(len(fields), column))
            fields.append(feature.field)
        views.append(_View(len(fields), view.ttl_ms * _NANOS_PER_MS, tuple(numbers), tuple(coded)))
        fields.append(view.timestamp_field)
    prefix, suffix = key_prefix(entity.join_key, entity.key_type), project.encode()
    head, tail, rest = (part.replace(b"%", b"%%") for part in (prefix, suffix, pack_arguments(fields)))
    return EntityReader(
        key_type=entity.key_type,
        template=b"*%d\r\n$5\r\nHMGET\r\n$%%d\r\n%b%%b%b\r\n%b" % (len(fields) + 2, head, tail, rest),
        key_bytes=len(prefix) + len(suffix),
        views=tuple(views),
        features=features,
        width=len(schema.features),
    )


def _put_numbers(slots: tuple[_Number, ...], reply: Reply, rows: Rows, start: int, stale: bool) -> None:
    # Here and in _put_texts a decision's decoding time is spent: the commonest form is told apart in place.
    values = rows.values
    for place, column in slots:
        data = reply[place]
        if not data:
            continue
        if data[0] == _FLOAT_TAG and len(data) == _FLOAT_BYTES:
            values[start + column] = _FLOAT.unpack(data)[0]
        else:
            try:
                values[start + column] = _number(data)
            except FormatError:
                rows.damaged += 1
                continue
        if stale:
            rows.stale[start + column] = True


def _put_texts(slots: tuple[_Text, ...], reply: Reply, rows: Rows, start: int, row: int, stale: bool) -> None:
    for place, column, code, wanted, reference in slots:
        data = reply[place]
        if not data:
            continue
        try:
            # IndexError: one byte only.
            text = data[2:].decode() if data[0] == _TEXT_TAG and len(data) == data[1] + 2 < _SHORT else _text(data)
        except (FormatError, UnicodeDecodeError, IndexError):
            rows.damaged += 1
            continue
        if text is None:
            continue
        if code is not None:
            rows.values[start + column] = code(text)
            if stale:
                rows.stale[start + column] = True
        if wanted:
            rows.texts[row][reference] = text
            if stale:
                rows.stale_texts[row] = True


@lru_cache(maxsize=_MEMO)
def _event_ns(stamp: bytes | None) -> float:
    """Event time of a row, ns; a row whose age cannot be told is older than any. Rows of one batch share it."""
    try:
        return -math.inf if stamp is None else decode_timestamp(stamp)
    except FormatError:
        return -math.inf


def _text(data: bytes) -> str | None:
    value = decode_value(data)
    if value is None or isinstance(value, str):
        return value
    message = f"stored value is {type(value).__name__}, not a text"
    raise FormatError(message)


@lru_cache(maxsize=_MEMO)
def _number(data: bytes) -> float:
    """The number, NaN for a null."""
    value = decode_value(data)
    if isinstance(value, str | bytes):
        message = f"stored value is {type(value).__name__}, not a number"
        raise FormatError(message)
    return math.nan if value is None else float(value)
