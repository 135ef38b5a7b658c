"""Dead letters: what was dropped, why, and how often."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from contracts import InvalidInputError, Position, check_name, keys
from stores.connect import command, transaction, translated

DEFAULT_MAXLEN = 10_000
MAX_BLOB_BYTES = 256 * 1024
MAX_DETAIL_CHARS = 16 * 1024


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One thing dropped; ``detail`` is JSON text, ``blob`` its first bytes of ``blob_bytes`` in all."""

    position: Position
    source: str
    reason: str
    detail: str
    blob: bytes
    blob_bytes: int


class DeadLetters:
    """The latest dead letters in a Redis stream, and counts by reason that never forget.

    A retried Beam bundle may put a letter twice: the counts say at least how often.
    """

    def __init__(self, client: redis.Redis, maxlen: int = DEFAULT_MAXLEN) -> None:
        """Keep about the ``maxlen`` latest letters.

        Raises:
            InvalidInputError: if ``maxlen`` is below 1.
        """
        if maxlen < 1:
            message = f"maxlen = {maxlen}: must be at least 1"
            raise InvalidInputError(message)
        self._client = client
        self._maxlen = maxlen

    def put(self, source: str, reason: str, detail: Mapping[str, Any], blob: bytes = b"") -> None:
        """Keep one letter and count it; long details and blobs are cut to the limits of this module.

        Raises:
            InvalidInputError: if source or reason is not a valid name.
            UnavailableError: if Redis did not answer.
        """
        text = json.dumps(detail, sort_keys=True, default=str, ensure_ascii=False)
        letter = (
            *("source", check_name("source", source)),
            *("reason", check_name("reason", reason)),
            *("detail", text[:MAX_DETAIL_CHARS].encode(errors="replace")),
            *("blob", blob[:MAX_BLOB_BYTES]),
            *("blob_bytes", len(blob)),
        )
        with translated("keep a dead letter"):
            transaction(
                self._client,
                [
                    ("XADD", keys.DEAD_LETTERS, "MAXLEN", "~", self._maxlen, "*", *letter),
                    ("HINCRBY", keys.DEAD_LETTER_COUNTS, f"{source}:{reason}", 1),
                ],
            )

    def count_by_reason(self, source: str | None = None) -> dict[str, int]:
        """How many letters each reason has had, of one source or of all."""
        with translated("count dead letters"):
            found: dict[bytes, bytes] = command(self._client, "HGETALL", keys.DEAD_LETTER_COUNTS)
        counts: dict[str, int] = {}
        for name, count in sorted(found.items()):
            origin, _, reason = name.decode().partition(":")
            if source in (None, origin):
                counts[reason] = counts.get(reason, 0) + int(count)
        return counts

    def latest(self, limit: int = 100) -> list[DeadLetter]:
        """The latest letters kept, newest first."""
        with translated("read dead letters"):
            found = command(self._client, "XREVRANGE", keys.DEAD_LETTERS, "+", "-", "COUNT", limit)
        return [_letter(key, fields) for key, fields in found]


def _letter(key: bytes, fields: Mapping[bytes, bytes]) -> DeadLetter:
    return DeadLetter(
        position=Position.parse(key.decode()),
        source=fields[b"source"].decode(),
        reason=fields[b"reason"].decode(),
        detail=fields[b"detail"].decode(),
        blob=fields[b"blob"],
        blob_bytes=int(fields[b"blob_bytes"]),
    )
