"""Facts and their batch format: "decision D was shown", "decision D was clicked" (design, section 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import FormatError
from contracts.ipc import read_stream, require_columns, require_metadata, write_stream

FACTS_FORMAT = 1
IMPRESSION = 0
CLICK = 1
MAX_BATCH_ROWS = 100_000
MAX_D = 4096

_NAMES = pa.dictionary(pa.int32(), pa.utf8())


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact; ``context`` is the little-endian int16[d] that was scored (x = q / 1024), times in milliseconds."""

    kind: int
    decision_id: bytes
    decision_ms: int
    event_ms: int
    user: str
    item: str
    category: str
    arm: str
    creative: str
    placement: str
    policy: str
    eligible: tuple[str, ...]
    propensity: float
    generation: int
    context: bytes


@dataclass(frozen=True, slots=True)
class FactBatch:
    """Decoded facts: the Arrow batch (schema ``facts_schema(d)``) and what its metadata said."""

    rows: pa.RecordBatch
    schema_hash: str
    lineage: str
    d: int

    def __len__(self) -> int:
        """Count the facts."""
        return int(self.rows.num_rows)

    def ids(self) -> NDArray[np.uint8]:
        """Decision ids, (n, 16) uint8."""
        return _fixed(self.rows.column("decision_id"), 16)

    def contexts(self) -> NDArray[np.int16]:
        """Contexts, (n, d) int16."""
        column = self.rows.column("context")
        flat: NDArray[np.int16] = column.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(self), self.d)

    def integers(self, name: str) -> NDArray[np.int64]:
        """One of ``kind``, ``decision_ms``, ``event_ms``, ``generation`` as (n,) int64."""
        values: NDArray[np.int64] = self.rows.column(name).to_numpy(zero_copy_only=False).astype(np.int64)
        return values

    def propensities(self) -> NDArray[np.float32]:
        """Probabilities (n,) with which the policies chose, as written."""
        values: NDArray[np.float32] = self.rows.column("propensity").to_numpy(zero_copy_only=False)
        return values

    def coded(self, name: str) -> tuple[NDArray[np.int32], list[str]]:
        """A name column as codes (n,) into a list of distinct names."""
        column = self.rows.column(name)
        codes: NDArray[np.int32] = column.indices.to_numpy(zero_copy_only=False).astype(np.int32)
        return codes, column.dictionary.to_pylist()


@lru_cache(maxsize=16)
def facts_schema(d: int) -> pa.Schema:
    """Arrow schema of a facts batch whose contexts have ``d`` entries."""
    required = [
        ("kind", pa.uint8()),
        ("decision_id", pa.binary(16)),
        ("decision_ms", pa.int64()),
        ("event_ms", pa.int64()),
        ("user", pa.utf8()),
        ("item", _NAMES),
        ("category", _NAMES),
        ("arm", _NAMES),
        ("creative", _NAMES),
        ("placement", _NAMES),
        ("policy", _NAMES),
        ("eligible", pa.list_(pa.field("item", pa.utf8(), nullable=False))),
        ("propensity", pa.float32()),
        ("generation", pa.int64()),
        ("context", pa.list_(pa.field("item", pa.int16(), nullable=False), d)),
    ]
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in required])


def encode_facts(facts: Sequence[Fact], *, d: int, schema_hash: str, lineage: str) -> bytes:
    """Write facts of one context schema as an Arrow IPC stream.

    Raises:
        FormatError: if there are more than a reader takes, or a context has the wrong length.
    """
    if len(facts) > MAX_BATCH_ROWS:
        message = f"{len(facts)} facts in one batch, the limit is {MAX_BATCH_ROWS}: append smaller batches"
        raise FormatError(message)
    schema = facts_schema(d)
    contexts = np.frombuffer(b"".join(fact.context for fact in facts), dtype="<i2")
    if contexts.size != d * len(facts):
        message = f"{contexts.size} context entries for {len(facts)} facts of d = {d}: a context has the wrong length"
        raise FormatError(message)
    columns: list[pa.Array] = [
        pa.FixedSizeListArray.from_arrays(pa.array(contexts, pa.int16()), type=field.type)
        if field.name == "context"
        else _column([getattr(fact, field.name) for fact in facts], field.type)
        for field in schema
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    metadata = {
        "format": f"facts/{FACTS_FORMAT}",
        "schema_hash": schema_hash,
        "lineage": lineage,
        "d": str(d),
    }
    return write_stream(batch, metadata)


def decode_facts(blob: bytes) -> FactBatch:
    """Read a facts batch written by ``encode_facts``.

    Raises:
        FormatVersionError: if the bytes say that they are of another format version.
        FormatError: if they are not Arrow, have other columns, hold nulls or are too large.
    """
    batch, metadata = read_stream(blob)
    require_metadata(metadata, f"facts/{FACTS_FORMAT}")
    try:
        d = int(metadata["d"])
    except (KeyError, ValueError) as error:
        message = f"facts batch names no usable d: {metadata.get('d')!r}"
        raise FormatError(message) from error
    if not 0 < d <= MAX_D:
        message = f"facts batch does not have the columns of format {FACTS_FORMAT}: d = {d} is not 1 to {MAX_D}"
        raise FormatError(message)
    require_columns(batch, facts_schema(d), f"facts batch of format {FACTS_FORMAT} with d = {d}")
    if batch.num_rows > MAX_BATCH_ROWS:
        message = f"facts batch has {batch.num_rows} rows, the limit is {MAX_BATCH_ROWS}: append smaller batches"
        raise FormatError(message)
    return FactBatch(batch, metadata.get("schema_hash", ""), metadata.get("lineage", ""), d)


def _column(values: list[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.utf8()).dictionary_encode()
    return pa.array(values, kind)


def _fixed(column: pa.Array, width: int) -> NDArray[np.uint8]:
    data = column.buffers()[1]
    flat = np.frombuffer(data, dtype=np.uint8)[column.offset * width : (column.offset + len(column)) * width]
    return flat.reshape(len(column), width)
