"""Columns as bytes: how record batches travel between stages and rest in state (in flight only, never stored)."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import FormatError

_MAGIC = b"BDC1"
_LENGTH = struct.Struct("<I")
_ALIGN = 8


def encode_columns(meta: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Write JSON-able ``meta`` and arrays; equal input gives equal bytes."""
    described = [[name, values.dtype.str, list(values.shape)] for name, values in columns.items()]
    head = json.dumps({"meta": meta, "columns": described}, separators=(",", ":")).encode()
    head += b" " * (-(len(head) + len(_MAGIC) + _LENGTH.size) % _ALIGN)
    parts = [_MAGIC, _LENGTH.pack(len(head)), head]
    for values in columns.values():
        data = np.ascontiguousarray(values).tobytes()
        parts += (data, bytes(-len(data) % _ALIGN))
    return b"".join(parts)


def decode_columns(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what ``encode_columns`` wrote; the arrays are read-only views.

    Raises:
        FormatError: if the bytes are not that.
    """
    start = len(_MAGIC) + _LENGTH.size
    if data[: len(_MAGIC)] != _MAGIC or len(data) < start:
        message = f"{len(data)} bytes are not columns: they begin with {data[:4]!r}, not {_MAGIC!r}"
        raise FormatError(message)
    (length,) = _LENGTH.unpack_from(data, len(_MAGIC))
    try:
        head = json.loads(data[start : start + length])
        at = start + length
        columns: dict[str, NDArray[Any]] = {}
        for name, kind, shape in head["columns"]:
            dtype = np.dtype(kind)
            count = int(np.prod(shape, dtype=np.int64))
            columns[name] = np.frombuffer(data, dtype, count, at).reshape(shape)
            size = count * dtype.itemsize
            at += size + -size % _ALIGN
    except (ValueError, KeyError, TypeError) as error:
        message = f"columns of {len(data)} bytes are damaged: {error}"
        raise FormatError(message) from error
    meta: dict[str, Any] = head["meta"]
    return meta, columns
