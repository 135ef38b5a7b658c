"""Counting facts by user on their way to the activity rows, as columns; users stay text, in two buffers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beam_pipelines.learn.columns import decode_columns, encode_columns

# FNV's prime, and the golden ratio: any odd multipliers that mix would do, but they must stay what they are.
_PRIME = 0x100000001B3
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TOP = np.uint64(32)


@dataclass(frozen=True, slots=True)
class ActivityFacts:
    """Facts (n,): kind, decision id as two halves, the log's time of the entry (ms), and ``users`` (n,) as text."""

    kind: NDArray[np.uint8]
    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    append_ms: NDArray[np.int64]
    users: pa.Array

    def __len__(self) -> int:
        """Count the facts."""
        return len(self.kind)

    @classmethod
    def empty(cls) -> "ActivityFacts":
        """No facts."""
        halves = np.zeros(0, dtype=np.uint64)
        none = pa.array([], pa.utf8())
        return cls(np.zeros(0, dtype=np.uint8), halves, halves, np.zeros(0, dtype=np.int64), none)

    def take(self, rows: NDArray[Any]) -> "ActivityFacts":
        """The facts at ``rows`` (indices or mask)."""
        users = self.users.filter(pa.array(rows)) if rows.dtype == np.bool_ else self.users.take(pa.array(rows))
        return ActivityFacts(self.kind[rows], self.high[rows], self.low[rows], self.append_ms[rows], users)

    def between(self, start: int, end: int) -> "ActivityFacts":
        """The facts from one place up to another, not copied."""
        numbers = {name: getattr(self, name)[start:end] for name in _NUMBERS}
        return ActivityFacts(**numbers, users=self.users.slice(start, end - start))

    @classmethod
    def concatenate(cls, parts: "Sequence[ActivityFacts]") -> "ActivityFacts":
        """All facts in order."""
        if not parts:
            return cls.empty()
        numbers = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _NUMBERS}
        return cls(**numbers, users=pa.concat_arrays([part.users for part in parts]))

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns that facts on their way to the fold do not have: append times and users."""
        ends, text = _buffers(self.users)
        return {"append_ms": self.append_ms, "user_ends": ends, "user_text": text}

    def encode(self) -> bytes:
        """Write as bytes."""
        ours = {name: getattr(self, name) for name in _NUMBERS}
        return encode_columns({}, ours | self.columns())

    @classmethod
    def decode(cls, data: bytes) -> "ActivityFacts":
        """Read what ``encode`` wrote, or ``FactColumns.encode`` with this class's columns."""
        _, columns = decode_columns(data)
        ends, text = columns["user_ends"], columns["user_text"]
        users = pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(text))
        return cls(**{name: columns[name] for name in _NUMBERS}, users=users)

    def by_shard(self, shards: int) -> "dict[int, ActivityFacts]":
        """Split by shard of the user."""
        found = user_shards(self.users, shards)
        order = np.argsort(found, kind="stable")
        present, starts = np.unique(found[order], return_index=True)
        ordered = self.take(order)
        ends = np.append(starts, len(order))[1:]
        return {
            int(shard): ordered.between(int(start), int(end))
            for shard, start, end in zip(present, starts, ends, strict=True)
        }


_NUMBERS = ("kind", "high", "low", "append_ms")


def user_shards(users: pa.Array, shards: int) -> NDArray[np.int64]:
    """Assign users (n,) to shards in ``range(shards)``: a polynomial of their bytes, mixed."""
    ends, text = _buffers(users)
    lengths = np.diff(ends)
    # A byte's weight goes by its place in its own text; 0 and nothing must differ.
    places = np.arange(len(text)) - np.repeat(ends[:-1], lengths)
    weighted = (text.astype(np.uint64) + np.uint64(1)) * _powers(int(lengths.max(initial=0)))[places]
    sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(weighted, dtype=np.uint64)))
    mixed = ((sums[ends[1:]] - sums[ends[:-1]]) * _GOLDEN) >> _TOP
    return (mixed % np.uint64(shards)).astype(np.int64)


def _powers(count: int) -> NDArray[np.uint64]:
    powers = np.full(count, _PRIME, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _buffers(users: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Ends (n + 1,), from 0, and bytes of texts."""
    _, offsets, data = users.buffers()
    if len(users) == 0 or offsets is None:
        return np.zeros(1, dtype=np.int32), np.zeros(0, dtype=np.uint8)
    ends = np.frombuffer(offsets, dtype=np.int32)[users.offset : users.offset + len(users) + 1]
    text = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8)
    return ends - ends[0], text[ends[0] : ends[-1]]
