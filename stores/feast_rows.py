"""One entity's part of a read plan, compiled: the request's bytes and where each reply value goes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contracts import ContextSchema, FormatError, PlannedEntity, SettingsError, key_prefix, key_value
from stores.feast_values import Value, decode_timestamp, decode_value
from stores.round_trip import Reply, pack_arguments

_NAN = float("nan")
_NANOS_PER_MS = 1_000_000


@dataclass(slots=True)
class Decoded:
    """A row in the making: values and codes, staleness, texts."""

    values: list[float]
    stale: list[bool]
    texts: dict[str, str]
    stale_texts: bool = False
    damaged: int = 0

    @classmethod
    def empty(cls, features: int) -> "Decoded":
        """A row in which nothing is known."""
        return cls([_NAN] * features, [False] * features, {})

    def copy(self) -> "Decoded":
        """A row that starts as this one is."""
        return Decoded(self.values[:], self.stale[:], dict(self.texts), self.stale_texts, self.damaged)


@dataclass(frozen=True, slots=True)
class _Slot:
    """One feature: its place in the reply, its column in the row (-1: none), its code, whether its text is wanted."""

    place: int
    reference: str
    column: int
    code: Callable[[str], float] | None
    text: bool


@dataclass(frozen=True, slots=True)
class _View:
    stamp: int
    ttl_ns: int
    slots: tuple[_Slot, ...]


@dataclass(frozen=True, slots=True)
class EntityReader:
    """Asks for one entity and decodes the reply."""

    key_type: str
    prefix: bytes
    suffix: bytes
    tail: bytes
    arguments: int
    views: tuple[_View, ...]

    def request(self, value: str) -> bytes:
        """The packed HMGET for the entity ``value``.

        Raises:
            InvalidInputError: if ``value`` cannot be a key of this entity.
        """
        key = self.prefix + key_value(self.key_type, value) + self.suffix
        return b"*%d\r\n$5\r\nHMGET\r\n$%d\r\n%b\r\n%b" % (self.arguments, len(key), key, self.tail)

    def decode(self, reply: Reply, now_ms: int, row: Decoded) -> bool:
        """Put a reply's values into ``row``; returns whether anything is stored of the entity."""
        if reply is None:
            return False
        now_ns = now_ms * _NANOS_PER_MS
        known = False
        for view in self.views:
            stale = _is_stale(reply[view.stamp], view.ttl_ns, now_ns)
            for slot in view.slots:
                data = reply[slot.place]
                if data is None:
                    continue
                known = True
                try:
                    value = decode_value(data)
                except FormatError:
                    row.damaged += 1
                    continue
                if value is None:
                    continue
                if slot.column >= 0:
                    number = _number(value, slot.code)
                    if number is None:
                        row.damaged += 1
                    else:
                        row.values[slot.column] = number
                        row.stale[slot.column] = stale
                if slot.text and isinstance(value, str):
                    row.texts[slot.reference] = value
                    row.stale_texts = row.stale_texts or stale
        return known

    def values(self, reply: Reply) -> dict[str, Value]:
        """Each feature's value, None where missing or null.

        Raises:
            FormatError: if a stored value cannot be decoded.
        """
        return {
            slot.reference: None if reply is None or reply[slot.place] is None else decode_value(reply[slot.place])
            for view in self.views
            for slot in view.slots
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
    for view in entity.views:
        slots: list[_Slot] = []
        for feature in view.features:
            reference = f"{view.name}:{feature.name}"
            column = columns.get(reference, -1)
            is_text = feature.value_type == "STRING"
            if (column >= 0 and schema.is_text(column) != is_text) or (reference in texts and not is_text):
                message = f"{reference} is {feature.value_type}, which the context schema or serving cannot take"
                raise SettingsError(message)
            code = schema.coder(column) if column >= 0 else None
            slots.append(_Slot(len(fields), reference, column, code, reference in texts))
            fields.append(feature.field)
        views.append(_View(len(fields), view.ttl_ms * _NANOS_PER_MS, tuple(slots)))
        fields.append(view.timestamp_field)
    return EntityReader(
        key_type=entity.key_type,
        prefix=key_prefix(entity.join_key, entity.key_type),
        suffix=project.encode(),
        tail=pack_arguments(fields),
        arguments=len(fields) + 2,
        views=tuple(views),
    )


def _is_stale(stamp: bytes | None, ttl_ns: int, now_ns: int) -> bool:
    """Whether a row is older than its TTL; one whose age cannot be told is."""
    if not ttl_ns:
        return False
    if stamp is None:
        return True
    try:
        return now_ns - decode_timestamp(stamp) > ttl_ns
    except FormatError:
        return True


def _number(value: Value, code: Callable[[str], float] | None) -> float | None:
    if code is not None:
        return code(value) if isinstance(value, str) else None
    return None if isinstance(value, str | bytes) or value is None else float(value)
