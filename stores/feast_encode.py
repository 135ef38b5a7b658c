"""Feast's stored bytes by hand: what ``feast_values`` reads, written as protobuf writes it.

A member of ``feast.types.Value``'s oneof is written even where it is the type's default; a null is no bytes at all.
"""

import math
import struct
from collections.abc import Callable, Mapping

from contracts import InvalidInputError
from stores.feast_values import Value

Encoder = Callable[[Value], bytes]

_FLOAT = struct.Struct("<Bf")
_DOUBLE = struct.Struct("<Bd")
_STRING_TAG, _INT32_TAG, _INT64_TAG, _DOUBLE_TAG, _FLOAT_TAG, _BOOL_TAG, _TIME_TAG = (
    0x12,
    0x18,
    0x20,
    0x29,
    0x35,
    0x38,
    0x40,
)
_INT32, _INT64 = 1 << 31, 1 << 63
_CONTINUES = 0x80
_MICROS = 1_000_000
_NANOS_PER_MICRO = 1_000
# What Feast writes for a time that is null (its NULL_TIMESTAMP_INT_VALUE).
_NULL_TIME = -_INT64


def encoder_of(value_type: str) -> Encoder:
    """How values of one of ``contracts.plan.VALUE_TYPES`` are written; each raises ``InvalidInputError`` on another."""
    return _ENCODERS[value_type]


def encode_timestamp(event_us: int) -> bytes:
    """Microseconds since the Unix epoch as a ``google.protobuf.Timestamp``.

    Raises:
        InvalidInputError: if it is before the epoch.
    """
    if event_us < 0:
        message = f"event time {event_us} µs is before 1970: check the clock"
        raise InvalidInputError(message)
    seconds, micros = divmod(event_us, _MICROS)
    first = b"\x08" + _varint(seconds) if seconds else b""
    return first + b"\x10" + _varint(micros * _NANOS_PER_MICRO) if micros else first


def _text(value: Value) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, str):
        raise _wrong(value, "STRING")
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise _wrong(value, "STRING") from error
    size = len(data)
    if size < _CONTINUES:
        return b"%c%c%b" % (_STRING_TAG, size, data)
    return b"%c%b%b" % (_STRING_TAG, _varint(size), data)


def _int32(value: Value) -> bytes:
    return b"" if value is None else b"%c%b" % (_INT32_TAG, _varint(_within("INT32", value, _INT32)))


def _int64(value: Value) -> bytes:
    return b"" if value is None else b"%c%b" % (_INT64_TAG, _varint(_within("INT64", value, _INT64)))


def _time(value: Value) -> bytes:
    seconds = _NULL_TIME if value is None else _within("UNIX_TIMESTAMP", value, _INT64)
    return b"%c%b" % (_TIME_TAG, _varint(seconds))


def _bool(value: Value) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, bool):
        raise _wrong(value, "BOOL")
    return b"%c%c" % (_BOOL_TAG, value)


def _float(value: Value) -> bytes:
    # Feast takes a number that is none for a null.
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return b""
    try:
        return _FLOAT.pack(_FLOAT_TAG, value)
    except OverflowError:
        # Beyond float32: protobuf writes infinity.
        return _FLOAT.pack(_FLOAT_TAG, float("inf") if _number(value) > 0 else float("-inf"))
    except struct.error as error:
        raise _wrong(value, "FLOAT") from error


def _double(value: Value) -> bytes:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return b""
    try:
        return _DOUBLE.pack(_DOUBLE_TAG, value)
    except (struct.error, OverflowError) as error:
        raise _wrong(value, "DOUBLE") from error


_ENCODERS: Mapping[str, Encoder] = {
    "STRING": _text,
    "INT32": _int32,
    "INT64": _int64,
    "DOUBLE": _double,
    "FLOAT": _float,
    "BOOL": _bool,
    "UNIX_TIMESTAMP": _time,
}


def _within(kind: str, value: Value, bound: int) -> int:
    if not isinstance(value, int) or not -bound <= value < bound:
        raise _wrong(value, kind)
    return value


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= _CONTINUES:
        out.append(value & 0x7F | _CONTINUES)
        value >>= 7
    out.append(value)
    return bytes(out)


def _wrong(value: Value, kind: str) -> InvalidInputError:
    return InvalidInputError(f"value {value!r:.80} is no {kind}: give one of that type and range, or None")
