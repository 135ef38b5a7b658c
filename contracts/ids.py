"""Identifiers: names that may enter keys and paths, UUIDv7 decision ids, shards, windows."""

import os
import re
from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from contracts.errors import InvalidInputError

ORIGINAL_ARM = "original"
# In packs: the row of any arm that has none. No name that ``check_name`` lets pass.
FRESH_ARM = "*"
MAX_NAME_CHARS = 128
MAX_USER_CHARS = 256
DECISION_ID_BYTES = 16
MAX_DECISION_MS = (1 << 48) - 1

_NAME = re.compile(rf"[\w.~@+-]{{1,{MAX_NAME_CHARS}}}")
_UUID_VERSION = 7
_UUID_VARIANT = 0b10
_TAIL_BYTES = 10


def check_name(kind: str, value: str) -> str:
    """Return ``value`` if it may stand in keys and paths (item, category, arm, placement, policy, lineage).

    Allowed: 1 to 128 letters, digits and ``_ . ~ @ + -``; not ``.`` or ``..``.

    Raises:
        InvalidInputError: naming the kind, the value and the rule.
    """
    if _NAME.fullmatch(value) is None or value in {".", ".."}:
        message = f"{kind} {value[:80]!r} is not a valid name: use 1 to {MAX_NAME_CHARS} letters, digits or _ . ~ @ + -"
        raise InvalidInputError(message)
    return value


def check_user(value: str) -> str:
    """Return ``value`` if it may name a user: 1 to 256 printable characters.

    Raises:
        InvalidInputError: if it is empty, too long or holds control characters.
    """
    if not 0 < len(value) <= MAX_USER_CHARS or not value.isprintable():
        message = f"user {value[:80]!r} is not valid: use 1 to {MAX_USER_CHARS} printable characters"
        raise InvalidInputError(message)
    return value


def new_decision_id(now_ms: int, random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """Make a UUIDv7 of decision time ``now_ms`` (RFC 9562, section 5.7): 16 bytes.

    Raises:
        InvalidInputError: if ``now_ms`` does not fit 48 bits.
    """
    if not 0 <= now_ms <= MAX_DECISION_MS:
        message = f"decision time {now_ms} ms is outside 0 to {MAX_DECISION_MS}: check the clock"
        raise InvalidInputError(message)
    tail = bytearray(random_bytes(_TAIL_BYTES))
    tail[0] = (tail[0] & 0x0F) | (_UUID_VERSION << 4)
    tail[2] = (tail[2] & 0x3F) | 0x80
    return now_ms.to_bytes(6, "big") + bytes(tail)


def new_decision_ids(now_ms: int, count: int, random_bytes: Callable[[int], bytes] = os.urandom) -> list[bytes]:
    """Make ``count`` ids as ``new_decision_id`` does, with one draw of random bytes.

    Raises:
        InvalidInputError: if ``now_ms`` does not fit 48 bits.
    """
    tails = BytesIO(random_bytes(_TAIL_BYTES * count))
    return [new_decision_id(now_ms, tails.read) for _ in range(count)]


def id_text(decision_id: bytes) -> str:
    """A decision id as text: 36 characters, the RFC's form."""
    text = decision_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_decision_id(value: bytes) -> bool:
    """Tell whether ``value`` is a 16-byte UUID of version 7 and the RFC's variant."""
    return len(value) == DECISION_ID_BYTES and value[6] >> 4 == _UUID_VERSION and value[8] >> 6 == _UUID_VARIANT


def decision_ms(decision_id: bytes) -> int:
    """Read the decision time in milliseconds from a decision id."""
    return int.from_bytes(decision_id[:6], "big")


def decision_ms_of(ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Read decision times (n,) in milliseconds from ids (n, 16)."""
    weights = 256 ** np.arange(5, -1, -1, dtype=np.int64)
    times: NDArray[np.int64] = ids[:, :6].astype(np.int64) @ weights
    return times


def shard_of(ids: NDArray[np.uint8], shards: int) -> NDArray[np.int64]:
    """Assign ids (n, 16) to shards (n,) in ``range(shards)``: Fibonacci hash of an id's last 8 bytes."""
    tail = np.ascontiguousarray(ids[:, 8:16]).view(">u8").reshape(-1).astype(np.uint64)
    mixed = (tail * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    return (mixed % np.uint64(shards)).astype(np.int64)


def window_of(times_ms: NDArray[np.int64], window_ms: int) -> NDArray[np.int64]:
    """Start times (n,) in milliseconds of the fixed event-time windows that hold ``times_ms`` (n,)."""
    return times_ms - times_ms % window_ms
