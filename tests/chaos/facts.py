"""Facts as rows of numbers: cheap to make by the thousand, and cheap to remember."""

from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts import CLICK
from contracts.facts import FACTS_FORMAT, facts_schema
from contracts.ipc import write_stream

D = 8
SCHEMA = "feedfacefeedface"
LINEAGE = "chaos"
ARMS = tuple(f"arm-{i}" for i in range(12))
ITEMS = tuple(f"item-{i}" for i in range(50))
POLICIES = ("random", "linucb")
PLACEMENTS = ("feed", "top", "side")

Rows = NDArray[np.void]

ROW = np.dtype(
    [
        ("kind", "u1"),
        ("id", "V16"),
        ("decision_ms", "i8"),
        ("event_ms", "i8"),
        ("category", "i2"),
        ("arm", "i2"),
    ]
)
# An odd number for each context entry: a context follows from its decision's id, as a sealed token's would.
_MIX = np.random.default_rng(0).integers(1 << 62, 1 << 63, D, dtype=np.uint64) | np.uint64(1)


def decisions(at_ms: NDArray[np.int64], categories: NDArray[np.int16], arms: int, rng: np.random.Generator) -> Rows:
    """Impressions of new decisions made at ``at_ms`` (n,)."""
    n = len(at_ms)
    ids = rng.integers(0, 256, (n, 16), dtype=np.uint8)
    ids[:, :6] = at_ms.astype(">u8").view(np.uint8).reshape(n, 8)[:, 2:]
    ids[:, 6] = ids[:, 6] & 0x0F | 0x70
    ids[:, 8] = ids[:, 8] & 0x3F | 0x80
    rows = np.zeros(n, dtype=ROW)
    rows["id"] = ids.reshape(-1).view("V16")
    rows["decision_ms"] = rows["event_ms"] = at_ms
    rows["category"] = categories
    rows["arm"] = rng.integers(0, arms, n)
    return rows


def clicks(rows: Rows, delay_ms: NDArray[np.int64]) -> Rows:
    """Clicks on decisions, each so long after it."""
    clicked = rows.copy()
    clicked["kind"] = CLICK
    clicked["event_ms"] = rows["decision_ms"] + delay_ms
    return clicked


def encode(rows: Rows, categories: tuple[str, ...], *, schema_hash: str = SCHEMA) -> bytes:
    """Rows as a log entry's blob."""
    n = len(rows)
    low = np.ascontiguousarray(rows["id"]).view(np.uint8).reshape(n, 16)[:, 8:].copy().view("<u8")
    contexts = ((low * _MIX) >> np.uint64(48)).astype(np.uint16).view(np.int16)
    turn = (low[:, 0] >> np.uint64(7)).astype(np.int64)
    constant = {"user": "u", "propensity": 0.25, "generation": 1, "eligible": ARMS[:1]}
    coded = {
        "item": (turn % len(ITEMS), ITEMS),
        "category": (rows["category"], categories),
        "arm": (rows["arm"], ARMS),
        "creative": (turn % len(ITEMS), ITEMS),
        "placement": (turn % len(PLACEMENTS), PLACEMENTS),
        "policy": (turn % len(POLICIES), POLICIES),
    }
    columns: list[pa.Array] = []
    for field in facts_schema(D):
        if field.name in coded:
            codes, names = coded[field.name]
            columns.append(pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), _dictionary(names)))
        elif field.name == "context":
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(contexts.reshape(-1)), type=field.type))
        elif field.name == "decision_id":
            columns.append(pa.Array.from_buffers(field.type, n, [None, pa.py_buffer(rows["id"].tobytes())]))
        elif field.name in constant:
            columns.append(pa.repeat(pa.scalar(constant[field.name], field.type), n))
        else:
            columns.append(pa.array(np.ascontiguousarray(rows[field.name]), field.type))
    batch = pa.RecordBatch.from_arrays(columns, schema=facts_schema(D))
    return write_stream(
        batch,
        {"format": f"facts/{FACTS_FORMAT}", "schema_hash": schema_hash, "lineage": LINEAGE, "d": str(D)},
    )


@cache
def _dictionary(names: tuple[str, ...]) -> pa.Array:
    return pa.array(names, pa.utf8())
