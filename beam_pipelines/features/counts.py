"""Counts by name: a monoid, so that slices may be counted anywhere and merged in any order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beam_pipelines.learn.columns import decode_columns, encode_columns

NEVER = -1


@dataclass(frozen=True, slots=True)
class Counts:
    """Of n entities, ascending by name: ``sums`` (n, k) int64 add up, of ``latest`` (n, 2) int64 the greater stays.

    ``latest`` holds milliseconds, or ``NEVER``.
    """

    names: tuple[str, ...]
    sums: NDArray[np.int64]
    latest: NDArray[np.int64]

    def __len__(self) -> int:
        """Count the entities."""
        return len(self.names)

    def take(self, rows: NDArray[np.intp]) -> "Counts":
        """The entities at ascending ``rows``."""
        return Counts(tuple(self.names[row] for row in rows), self.sums[rows], self.latest[rows])

    def encode(self) -> bytes:
        """Write as a Beam element."""
        return encode_columns({"names": self.names}, {"sums": self.sums, "latest": self.latest})

    @classmethod
    def decode(cls, data: bytes) -> "Counts":
        """Read what ``encode`` wrote."""
        meta, columns = decode_columns(data)
        return cls(tuple(meta["names"]), columns["sums"], columns["latest"])


def merge(parts: Sequence[Counts]) -> Counts:
    """Join the counts of at least one part."""
    if len(parts) == 1:
        return parts[0]
    names = pa.array([name for part in parts for name in part.names], pa.utf8())
    return count(names, np.concatenate([part.sums for part in parts]), np.concatenate([part.latest for part in parts]))


def count(names: pa.Array | pa.ChunkedArray, sums: NDArray[np.int64], latest: NDArray[np.int64]) -> Counts:
    """Join rows (n, k) and (n, 2) of equal names."""
    distinct = sorted(pc.unique(names).to_pylist())
    rows = pc.index_in(names, pa.array(distinct, pa.utf8())).to_numpy(zero_copy_only=False)
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(len(distinct)))
    if not distinct:
        return Counts((), sums[:0], latest[:0])
    return Counts(
        tuple(distinct),
        np.add.reduceat(sums[order], starts, axis=0, dtype=np.int64),
        np.maximum.reduceat(latest[order], starts, axis=0),
    )
