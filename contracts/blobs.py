"""Stored forms of statistics (deltas and bases) and of packs (design, section 5; docs/formats.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import FormatError
from contracts.ipc import read_stream, read_streams, require_columns, require_metadata, write_stream

STATISTICS_FORMAT = 1
PACK_FORMAT = 1

CountKey = tuple[str, str, str]

_COUNTS = [
    *((name, pa.utf8()) for name in ("policy", "arm", "placement")),
    *((name, pa.float64()) for name in ("impressions", "clicks")),
]

_Float = TypeVar("_Float", bound=np.floating[Any])


@dataclass(frozen=True, slots=True)
class StatisticsBlob:
    """Statistics of a category: one row an arm, arms ascending; K arms, P = d(d+1)/2.

    ``n``, ``reward`` (K,), ``gram`` (K, P) upper triangles row major, ``moment`` (K, d), all float64;
    ``counts`` (policy, arm, placement) -> (impressions, clicks). ``version`` is the number of facts
    counted; ``window`` (start, ms) and ``shard`` are set for deltas, ``through`` (start of the last closed
    window, ms) for bases; -1 where it does not apply.
    """

    lineage: str
    schema_hash: str
    version: int
    window: int
    shard: int
    through: int
    arms: tuple[str, ...]
    n: NDArray[np.float64]
    reward: NDArray[np.float64]
    gram: NDArray[np.float64]
    moment: NDArray[np.float64]
    counts: Mapping[CountKey, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class PackBlob:
    """What serving scores with: ``theta`` (K, d) and ``inverse`` (K, P) upper triangles of A⁻¹, float32."""

    lineage: str
    schema_hash: str
    generation: int
    alpha: float
    ridge: float
    arms: tuple[str, ...]
    theta: NDArray[np.float32]
    inverse: NDArray[np.float32]


def packed_length(d: int) -> int:
    """Entries of the upper triangle of a d × d matrix."""
    return d * (d + 1) // 2


def encode_statistics(blob: StatisticsBlob) -> bytes:
    """Write statistics, then counts, as two Arrow streams; equal statistics give equal bytes."""
    order = sorted(range(len(blob.arms)), key=blob.arms.__getitem__)
    rows = pa.RecordBatch.from_arrays(
        [
            pa.array([blob.arms[i] for i in order], pa.utf8()),
            pa.array(blob.n[order], pa.float64()),
            pa.array(blob.reward[order], pa.float64()),
            _matrix(blob.gram[order], pa.float64()),
            _matrix(blob.moment[order], pa.float64()),
        ],
        names=["arm", "n", "reward", "gram", "moment"],
    )
    keys = sorted(blob.counts)
    counts = pa.RecordBatch.from_arrays(
        [
            *(pa.array([key[i] for key in keys], pa.utf8()) for i in range(3)),
            *(pa.array([blob.counts[key][i] for key in keys], pa.float64()) for i in range(2)),
        ],
        names=[name for name, _ in _COUNTS],
    )
    metadata = {
        "format": f"statistics/{STATISTICS_FORMAT}",
        "lineage": blob.lineage,
        "schema_hash": blob.schema_hash,
        "version": str(blob.version),
        "window": str(blob.window),
        "shard": str(blob.shard),
        "through": str(blob.through),
    }
    return write_stream(rows, metadata) + write_stream(counts, {"format": f"counts/{STATISTICS_FORMAT}"})


def decode_statistics(data: bytes) -> StatisticsBlob:
    """Read what ``encode_statistics`` wrote.

    Raises:
        FormatError: if the bytes are damaged or of another format version.
    """
    (rows, metadata), (counts, counts_metadata) = read_streams(data, 2)
    require_metadata(metadata, f"statistics/{STATISTICS_FORMAT}")
    require_metadata(counts_metadata, f"counts/{STATISTICS_FORMAT}")
    _require_matrices(rows, {"arm": pa.utf8(), "n": pa.float64(), "reward": pa.float64()}, "gram", "moment")
    require_columns(counts, pa.schema(_COUNTS), "counts of a statistics blob")
    try:
        version, window, shard, through = (int(metadata[key]) for key in ("version", "window", "shard", "through"))
        policies, arms, placements, shown, clicked = (column.to_pylist() for column in counts.columns)
        return StatisticsBlob(
            lineage=metadata["lineage"],
            schema_hash=metadata["schema_hash"],
            version=version,
            window=window,
            shard=shard,
            through=through,
            arms=tuple(rows.column("arm").to_pylist()),
            n=_floats(rows.column("n")),
            reward=_floats(rows.column("reward")),
            gram=_unmatrix(rows.column("gram"), np.float64),
            moment=_unmatrix(rows.column("moment"), np.float64),
            counts={
                key: pair
                for key, pair in zip(
                    zip(policies, arms, placements, strict=True),
                    zip(shown, clicked, strict=True),
                    strict=True,
                )
            },
        )
    except (KeyError, ValueError, pa.ArrowException) as error:
        message = f"statistics blob is damaged: {error}"
        raise FormatError(message) from error


def encode_pack(blob: PackBlob) -> bytes:
    """Write a pack as one Arrow stream, arms in the order given."""
    rows = pa.RecordBatch.from_arrays(
        [
            pa.array(blob.arms, pa.utf8()),
            _matrix(blob.theta, pa.float32()),
            _matrix(blob.inverse, pa.float32()),
        ],
        names=["arm", "theta", "inverse"],
    )
    metadata = {
        "format": f"pack/{PACK_FORMAT}",
        "lineage": blob.lineage,
        "schema_hash": blob.schema_hash,
        "generation": str(blob.generation),
        "alpha": repr(blob.alpha),
        "ridge": repr(blob.ridge),
    }
    return write_stream(rows, metadata)


def decode_pack(data: bytes) -> PackBlob:
    """Read what ``encode_pack`` wrote.

    Raises:
        FormatError: if the bytes are damaged or of another format version.
    """
    rows, metadata = read_stream(data)
    require_metadata(metadata, f"pack/{PACK_FORMAT}")
    _require_matrices(rows, {"arm": pa.utf8()}, "inverse", "theta")
    try:
        return PackBlob(
            lineage=metadata["lineage"],
            schema_hash=metadata["schema_hash"],
            generation=int(metadata["generation"]),
            alpha=float(metadata["alpha"]),
            ridge=float(metadata["ridge"]),
            arms=tuple(rows.column("arm").to_pylist()),
            theta=_unmatrix(rows.column("theta"), np.float32),
            inverse=_unmatrix(rows.column("inverse"), np.float32),
        )
    except (KeyError, ValueError, pa.ArrowException) as error:
        message = f"pack blob is damaged: {error}"
        raise FormatError(message) from error


def _require_matrices(rows: pa.RecordBatch, plain: Mapping[str, pa.DataType], triangle: str, vector: str) -> None:
    """Check names and types of the columns, nulls, and that triangle and vector are of one d.

    Raises:
        FormatError: if the rows are not such.
    """
    kinds = dict(zip(rows.schema.names, rows.schema.types, strict=True))
    kind = kinds.get(vector)
    d = kind.list_size if kind is not None and pa.types.is_fixed_size_list(kind) else 0
    element = pa.float64() if triangle == "gram" else pa.float32()
    wanted = {**plain, triangle: pa.list_(element, packed_length(d)), vector: pa.list_(element, d)}
    schema = pa.schema([(name, wanted[name]) for name in rows.schema.names if name in wanted])
    if d == 0 or len(schema) != len(wanted):
        message = f"blob has columns {rows.schema.names} of d = {d} where {list(wanted)} are expected"
        raise FormatError(message)
    require_columns(rows, schema, f"blob with d = {d}")


def _matrix(values: NDArray[np.floating[Any]], kind: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), kind)
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _unmatrix(column: pa.Array, dtype: type[_Float]) -> NDArray[_Float]:
    flat = column.flatten().to_numpy(zero_copy_only=False)
    matrix: NDArray[_Float] = flat.astype(dtype).reshape(len(column), column.type.list_size)
    return matrix


def _floats(column: pa.Array) -> NDArray[np.float64]:
    values: NDArray[np.float64] = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return values
