"""A category's delta on its way from the fold to the store."""

import struct
from dataclasses import dataclass

from contracts import FormatError

_HEAD = struct.Struct("<4sqIqq?")
_MAGIC = b"BDP1"


@dataclass(frozen=True, slots=True)
class Publication:
    """Statistics of one (category, window, shard), whole: ``version`` facts, published at ``due_ms`` of log time.

    ``final``: the window's bound has passed, nothing more will be counted.
    """

    window: int
    shard: int
    version: int
    due_ms: int
    final: bool
    blob: bytes

    def encode(self) -> bytes:
        """Write as bytes."""
        head = _HEAD.pack(_MAGIC, self.window, self.shard, self.version, self.due_ms, self.final)
        return head + self.blob

    @classmethod
    def decode(cls, data: bytes) -> "Publication":
        """Read what ``encode`` wrote.

        Raises:
            FormatError: if the bytes are not that.
        """
        if len(data) < _HEAD.size or data[: len(_MAGIC)] != _MAGIC:
            message = f"{len(data)} bytes are not a publication"
            raise FormatError(message)
        _, window, shard, version, due_ms, final = _HEAD.unpack_from(data)
        return cls(window, shard, version, due_ms, final, data[_HEAD.size :])
