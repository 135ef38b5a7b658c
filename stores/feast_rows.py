"""One entity's part of a read plan, compiled: the request's bytes, and what a reply holds for a decision."""

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import NamedTuple

from contracts import ContextSchema, FormatError, InvalidInputError, PlannedEntity, SettingsError, key_prefix, key_value
from stores.feast_values import Value, decode_timestamp, decode_value
from stores.memo import Fields, Memo
from stores.round_trip import Reply, pack_arguments

_NANOS_PER_MS = 1_000_000
_REQUESTS = 8_192
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})


class Freshness(NamedTuple):
    """Until when (ns) one view's values are fresh, which columns they are in, whether texts are among them; its time.

    ``event_ns`` is the row's event time, minus infinity where it cannot be told.
    """

    until_ns: float
    columns: tuple[int, ...]
    texts: bool
    event_ns: float


class DecodedRow(NamedTuple):
    """What an entity's reply holds.

    ``numbers`` are (column, value or code), ``texts`` those that are wanted, by reference; all of it is fresh
    until ``fresh_ns``, each view as ``views`` say. ``damaged`` counts values that could not be decoded.
    """

    numbers: tuple[tuple[int, float], ...]
    texts: Mapping[str, str]
    fresh_ns: float
    views: tuple[Freshness, ...]
    known: bool
    damaged: int


NOTHING = DecodedRow((), _NO_TEXTS, math.inf, (), known=False, damaged=0)


class Rows(NamedTuple):
    """n rows of f features each, row after row.

    ``values`` and codes (n f, NaN where there is none), whether there is one, ``present`` (n f), and whether it is
    older than its view's TTL, ``stale`` (n f); ``texts`` by reference (n), and whether any of a row's is too old,
    ``stale_texts`` (n).
    """

    values: "array[float]"
    present: bytearray
    stale: bytearray
    texts: list[Mapping[str, str]]
    stale_texts: list[bool]
    damaged: int


def assemble(shared: Sequence[DecodedRow], items: Sequence[DecodedRow], width: int, now_ns: int) -> Rows:
    """Rows of ``width`` features: each item's values beside those that all rows share."""
    values, present, stale = array("d", (math.nan,)) * width, bytearray(width), bytearray(width)
    damaged = 0
    for decoded in shared:
        for column, number in decoded.numbers:
            values[column] = number
            present[column] = True
        if decoded.fresh_ns < now_ns:
            _mark(stale, 0, decoded, now_ns)
        damaged += decoded.damaged
    count = len(items)
    values, present, stale = values * count, present * count, stale * count
    texts, stale_texts = [], [False] * count
    start = 0
    for row, (numbers, found, fresh_ns, _, _, broken) in enumerate(items):
        for column, number in numbers:
            values[start + column] = number
            present[start + column] = True
        texts.append(found)
        if fresh_ns < now_ns:
            stale_texts[row] = _mark(stale, start, items[row], now_ns)
        damaged += broken
        start += width
    return Rows(values, present, stale, texts, stale_texts, damaged)


def _mark(stale: bytearray, start: int, decoded: DecodedRow, now_ns: int) -> bool:
    """Mark an entity's stale columns; returns whether any of its texts is stale."""
    stale_texts = False
    for until_ns, columns, has_texts, _ in decoded.views:
        if until_ns < now_ns:
            for column in columns:
                stale[start + column] = True
            stale_texts = stale_texts or has_texts
    return stale_texts


class Slot(NamedTuple):
    """A feature that a decision uses: place in the reply, column (-1: none), a text's code, whether it is wanted."""

    place: int
    column: int
    is_text: bool
    code: Callable[[str], float] | None
    wanted: bool
    reference: str


class View(NamedTuple):
    """One view: the place of its event time, its TTL (infinite: none), and those of its features that are used."""

    name: str
    stamp: int
    ttl_ns: float
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class EntityReader:
    """Asks for one entity and decodes the reply.

    ``request`` makes the packed HMGET for an entity (None: no such key can be); ``decode`` says what a reply holds.
    ``features`` maps every reference to its place in the reply; ``views`` are those of its features that are used.
    """

    request: Callable[[str], bytes | None]
    decode: Memo[DecodedRow]
    features: Mapping[str, int]
    views: tuple[View, ...]

    def values(self, reply: Reply) -> dict[str, Value]:
        """Each feature's value, None where missing or null.

        Raises:
            FormatError: if a stored value cannot be decoded.
        """
        return {
            reference: None if not reply or reply[place] is None else decode_value(reply[place])
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
    views: list[View] = []
    features: dict[str, int] = {}
    for view in entity.views:
        slots: list[Slot] = []
        for feature in view.features:
            reference = f"{view.name}:{feature.name}"
            column = columns.get(reference, -1)
            is_text = feature.value_type == "STRING"
            if (column >= 0 and schema.is_text(column) != is_text) or (reference in texts and not is_text):
                message = f"{reference} is {feature.value_type}, which the context schema or serving cannot take"
                raise SettingsError(message)
            features[reference] = len(fields)
            if column >= 0 or reference in texts:
                code = schema.coder(column) if column >= 0 else None
                slots.append(Slot(len(fields), column, is_text, code, reference in texts, reference))
            fields.append(feature.field)
        views.append(View(view.name, len(fields), view.ttl_ms * _NANOS_PER_MS or math.inf, tuple(slots)))
        fields.append(view.timestamp_field)
    template = b"*%d\r\n$5\r\nHMGET\r\n$%%d\r\n%b%%b%b\r\n%b"
    prefix, suffix = key_prefix(entity.join_key, entity.key_type), project.encode()
    around = [part.replace(b"%", b"%%") for part in (prefix, suffix, pack_arguments(fields))]
    template %= (len(fields) + 2, *around)
    request = partial(_request, template, len(prefix) + len(suffix), entity.key_type)
    return EntityReader(
        request=lru_cache(maxsize=_REQUESTS)(request),
        decode=Memo(partial(_decode, tuple(views), tuple(features.values()))),
        features=MappingProxyType(features),
        views=tuple(views),
    )


def _request(template: bytes, key_bytes: int, key_type: str, value: str) -> bytes | None:
    try:
        key = key_value(key_type, value)
    except InvalidInputError:
        return None
    return template % (key_bytes + len(key), key)


def _decode(views: tuple[View, ...], places: tuple[int, ...], reply: Fields) -> DecodedRow:
    if not reply:
        return NOTHING

    def value_of(slot: Slot) -> Value:
        data = reply[slot.place]
        return decode_value(data) if data else None

    known = any(reply[place] is not None for place in places)
    return row_of(views, value_of, lambda view: _event_ns(reply[view.stamp]), known=known)


def row_of(
    views: Sequence[View], value_of: Callable[[Slot], Value], event_ns_of: Callable[[View], float], *, known: bool
) -> DecodedRow:
    """An entity's row from its values and event times; a value that raises FormatError is counted as damaged."""
    numbers: list[tuple[int, float]] = []
    texts: dict[str, str] = {}
    freshness: list[Freshness] = []
    damaged = 0
    for view in views:
        first, texts_before = len(numbers), len(texts)
        for slot in view.slots:
            try:
                value = value_of(slot)
                if value is None:
                    continue
                if not slot.is_text:
                    number = _number(value)
                    # NaN says that there is none.
                    if not math.isnan(number):
                        numbers.append((slot.column, number))
                    continue
                text = _text(value)
            except FormatError:
                damaged += 1
                continue
            if slot.code is not None:
                numbers.append((slot.column, slot.code(text)))
            if slot.wanted:
                texts[slot.reference] = text
        columns = tuple(column for column, _ in numbers[first:])
        event_ns = event_ns_of(view)
        until_ns = math.inf if view.ttl_ns == math.inf else event_ns + view.ttl_ns
        freshness.append(Freshness(until_ns, columns, len(texts) > texts_before, event_ns))
    return DecodedRow(
        numbers=tuple(numbers),
        texts=MappingProxyType(texts) if texts else _NO_TEXTS,
        fresh_ns=min((view.until_ns for view in freshness), default=math.inf),
        views=tuple(freshness),
        known=known,
        damaged=damaged,
    )


def _event_ns(stamp: bytes | None) -> float:
    """Event time of a row, ns; a row whose age cannot be told is older than any."""
    try:
        return -math.inf if stamp is None else decode_timestamp(stamp)
    except FormatError:
        return -math.inf


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    message = f"stored value is {type(value).__name__}, not a text"
    raise FormatError(message)


def _number(value: Value) -> float:
    if isinstance(value, int | float):
        return float(value)
    message = f"stored value is {type(value).__name__}, not a number"
    raise FormatError(message)
