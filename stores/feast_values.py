"""Feast's stored bytes by hand: ``feast.types.Value`` and protobuf timestamps, without protobuf.

Field numbers are those of feast/protos/feast/types/Value.proto; the wire format is
https://protobuf.dev/programming-guides/encoding/. The last member of the oneof wins, unknown fields are skipped.
"""

import struct
from collections.abc import Callable
from typing import Final

from contracts import FormatError

Value = str | bytes | int | float | bool | None

_FLOAT = struct.Struct("<f")
_DOUBLE = struct.Struct("<d")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_CONTINUES = 0x80
_MAX_TAG = 0xFFFF_FFFF
NULL_TIME = -(1 << 63)
_NANOS = 1_000_000_000
_NULL_FIELD = 19
# Every other number up to here is a list, set, map or text-like type that no plan allows.
_LAST_FIELD = 48
_UNUSED_FIELDS = frozenset({9, 10, 30, 31})

_STRING_TAG: Final = 0x12
_FLOAT_TAG: Final = 0x35
_FLOAT_BYTES: Final = 5
_SHORT: Final = 0x80


def decode_value(data: bytes) -> Value:
    """The value of a stored feature, as the Feast SDK would return it; None for a null.

    A UNIX_TIMESTAMP is its integer.

    Raises:
        FormatError: if the bytes are damaged or hold a type the reader does not read (lists, maps, ...).
    """
    if not data:
        return None
    tag, size = data[0], len(data)
    # The two commonest forms first: they are most of a decision's decoding time.
    if tag == _FLOAT_TAG and size == _FLOAT_BYTES:
        number: float = _FLOAT.unpack_from(data, 1)[0]
        return number
    if tag == _STRING_TAG and size > 1 and data[1] < _SHORT and size == data[1] + 2:
        try:
            return data[2:].decode()
        except UnicodeDecodeError as error:
            raise _damaged(data, "text is not UTF-8") from error
    return _decode_any(data)


def decode_timestamp(data: bytes) -> int:
    """Nanoseconds since the Unix epoch of a stored ``google.protobuf.Timestamp``.

    Raises:
        FormatError: if the bytes are damaged.
    """
    at, end = 0, len(data)
    seconds = nanos = 0
    while at < end:
        tag, at = _varint(data, at)
        if tag == 1 << 3:
            value, at = _varint(data, at)
            seconds = _signed(value, 64)
        elif tag == 2 << 3:
            value, at = _varint(data, at)
            nanos = _signed(value, 32)
        else:
            at = _skip(data, at, tag)
    return seconds * _NANOS + nanos


def _decode_any(data: bytes) -> Value:
    at, end = 0, len(data)
    found: Value = None
    while at < end:
        tag, at = _varint(data, at)
        known = _KNOWN.get(tag)
        if known is not None:
            found, at = known(data, at)
            continue
        number = tag >> 3
        if number <= _LAST_FIELD and number not in _UNUSED_FIELDS and tag & 7 == _BYTES and number not in _SCALARS:
            message = f"stored value holds field {number} of feast.types.Value, a type the reader does not read"
            raise FormatError(message)
        at = _skip(data, at, tag)
    return found


def _text(data: bytes, at: int) -> tuple[Value, int]:
    raw, at = _take(data, at)
    try:
        return raw.decode(), at
    except UnicodeDecodeError as error:
        raise _damaged(data, "text is not UTF-8") from error


def _take(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _varint(data, at)
    if size > len(data) - at:
        raise _damaged(data, f"{size} bytes announced at {at}")
    return data[at : at + size], at + size


def _int32(data: bytes, at: int) -> tuple[Value, int]:
    value, at = _varint(data, at)
    return _signed(value, 32), at


def _int64(data: bytes, at: int) -> tuple[Value, int]:
    value, at = _varint(data, at)
    return _signed(value, 64), at


def _bool(data: bytes, at: int) -> tuple[Value, int]:
    value, at = _varint(data, at)
    return value != 0, at


def _time(data: bytes, at: int) -> tuple[Value, int]:
    value, at = _varint(data, at)
    seconds = _signed(value, 64)
    return None if seconds == NULL_TIME else seconds, at


def _null(data: bytes, at: int) -> tuple[Value, int]:
    return None, _varint(data, at)[1]


def _float(data: bytes, at: int) -> tuple[Value, int]:
    try:
        return _FLOAT.unpack_from(data, at)[0], at + 4
    except struct.error as error:
        raise _damaged(data, "float is cut off") from error


def _double(data: bytes, at: int) -> tuple[Value, int]:
    try:
        return _DOUBLE.unpack_from(data, at)[0], at + 8
    except struct.error as error:
        raise _damaged(data, "double is cut off") from error


# Tag (field number << 3 | wire type) -> how to read it.
_KNOWN: dict[int, Callable[[bytes, int], tuple[Value, int]]] = {
    1 << 3 | _BYTES: _take,
    2 << 3 | _BYTES: _text,
    3 << 3 | _VARINT: _int32,
    4 << 3 | _VARINT: _int64,
    5 << 3 | _FIXED64: _double,
    6 << 3 | _FIXED32: _float,
    7 << 3 | _VARINT: _bool,
    8 << 3 | _VARINT: _time,
    _NULL_FIELD << 3 | _VARINT: _null,
}
_SCALARS = frozenset(tag >> 3 for tag in _KNOWN)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = 0
    for place in range(_MAX_VARINT_BYTES):
        if at >= len(data):
            raise _damaged(data, "number is cut off")
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << (7 * place)
        if byte < _CONTINUES:
            return result & 0xFFFF_FFFF_FFFF_FFFF, at
    raise _damaged(data, "number is too long")


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _skip(data: bytes, at: int, tag: int) -> int:
    """Pass over a field that is not known."""
    if not 1 << 3 <= tag <= _MAX_TAG:
        raise _damaged(data, f"field tag {tag}")
    match tag & 7:
        case 0:
            return _varint(data, at)[1]
        case 1:
            at += 8
        case 2:
            return _take(data, at)[1]
        case 5:
            at += 4
        case wire:
            raise _damaged(data, f"wire type {wire}")
    if at > len(data):
        raise _damaged(data, "field is cut off")
    return at


def _damaged(data: bytes, why: str) -> FormatError:
    return FormatError(f"stored value of {len(data)} bytes is damaged: {why}")
