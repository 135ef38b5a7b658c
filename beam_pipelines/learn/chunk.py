"""Facts on their way to the fold, as columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.learn.columns import decode_columns, encode_columns

NAMES = ("category", "policy", "arm", "placement")

# A decision id is a UUIDv7: its first 48 bits are milliseconds.
_TIME_SHIFT = np.uint64(16)

Names = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class FactColumns:
    """What of facts (n,) is learned: decision ids as two halves, ``contexts`` (n, d) int16 fixed point.

    ``codes`` (n, 4) index ``names``, a list of distinct names for each of ``NAMES``.
    """

    kind: NDArray[np.uint8]
    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    codes: NDArray[np.int32]
    contexts: NDArray[np.int16]
    names: Names

    def __len__(self) -> int:
        """Count the facts."""
        return len(self.kind)

    @property
    def decision_ms(self) -> NDArray[np.int64]:
        """Decision times (n,) in milliseconds."""
        return (self.high >> _TIME_SHIFT).astype(np.int64)

    @classmethod
    def empty(cls, d: int) -> "FactColumns":
        """No facts, with contexts of ``d`` entries."""
        halves = np.zeros(0, dtype=np.uint64)
        return cls(
            np.zeros(0, dtype=np.uint8),
            halves,
            halves,
            np.zeros((0, len(NAMES)), dtype=np.int32),
            np.zeros((0, d), dtype=np.int16),
            ((),) * len(NAMES),
        )

    def take(self, rows: NDArray[Any] | slice) -> "FactColumns":
        """The facts at ``rows`` (indices, mask or slice)."""
        return FactColumns(
            self.kind[rows], self.high[rows], self.low[rows], self.codes[rows], self.contexts[rows], self.names
        )

    @classmethod
    def concatenate(cls, parts: "Sequence[FactColumns]", d: int) -> "FactColumns":
        """All facts in order, their names brought to one list for each of ``NAMES``."""
        if not parts:
            return cls.empty(d)
        numbers: list[dict[str, int]] = [{} for _ in NAMES]
        codes = np.empty((sum(map(len, parts)), len(NAMES)), dtype=np.int32)
        end = 0
        for part in parts:
            start, end = end, end + len(part)
            for column, (known, names) in enumerate(zip(numbers, part.names, strict=True)):
                renumbered = np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int32)
                codes[start:end, column] = renumbered[part.codes[:, column]]
        return cls(
            np.concatenate([part.kind for part in parts]),
            np.concatenate([part.high for part in parts]),
            np.concatenate([part.low for part in parts]),
            codes,
            np.concatenate([part.contexts for part in parts]),
            tuple(tuple(known) for known in numbers),
        )

    def encode(self, more: Mapping[str, NDArray[Any]] | None = None) -> bytes:
        """Write as bytes, with columns that others read (``more``)."""
        ours = {name: getattr(self, name) for name in _COLUMNS}
        return encode_columns({"names": self.names}, ours | dict(more or {}))

    @classmethod
    def decode(cls, data: bytes) -> "FactColumns":
        """Read what ``encode`` wrote."""
        meta, columns = decode_columns(data)
        names = tuple(tuple(found) for found in meta["names"])
        return cls(**{name: columns[name] for name in _COLUMNS}, names=names)


_COLUMNS = ("kind", "high", "low", "codes", "contexts")
