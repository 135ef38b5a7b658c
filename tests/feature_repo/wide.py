"""A Feast repository with every type that the reader reads, random rows, and damage done to them in Redis."""

import dataclasses
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts import ContextField, ContextSchema, Numeric, OneHot, ReadPlan, entity_key

ROLES = ("user", "item", "placement")
ROWS = {"user": 150, "item": 80, "placement": 12}
TYPES = {"s": "String", "i": "Int32", "l": "Int64", "d": "Float64", "f": "Float32", "b": "Bool", "t": "UnixTimestamp"}

_DEFINITIONS = """
import os
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp

FOLDER = os.environ["BACKDROP_FEATURES_DIR"]


def view(entity):
    source = FileSource(
        name=f"{entity.name}_source",
        path=f"{FOLDER}/{entity.name}_wide.parquet",
        timestamp_field="event_timestamp",
    )
    schema = [Field(name=name, dtype=dtype) for name, dtype in (
        ("s", String), ("i", Int32), ("l", Int64), ("d", Float64), ("f", Float32), ("b", Bool), ("t", UnixTimestamp)
    )]
    return FeatureView(
        name=f"{entity.name}_wide", entities=[entity], ttl=timedelta(days=1), schema=schema, source=source
    )


user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
item = Entity(name="item", join_keys=["sku"], value_type=ValueType.STRING)
placement = Entity(name="placement", join_keys=["slot"], value_type=ValueType.INT32)
user_view, item_view, placement_view = view(user), view(item), view(placement)
decide = FeatureService(name="decide", features=[user_view, item_view, placement_view])
"""

_STORE = """
project: wide
provider: local
registry: registry.db
offline_store: {type: duckdb}
online_store: {type: redis, connection_string: "localhost:6379"}
entity_key_serialization_version: 3
materialization: {online_write_batch_size: 50}
"""

JOIN_KEYS = {"user": "user_id", "item": "sku", "placement": "slot"}
_ODD_TEXTS = ("", "a", "é☃ 🙂", "x" * 127, "y" * 128, "z" * 20_000, "line\nbreak", "\x00")


def _fields() -> tuple[ContextField, ...]:
    numbers = [Numeric(f"{role}_wide:{name}", -100.0, 100.0, 0.0) for role in ROLES for name in TYPES if name != "s"]
    return (*numbers, *(OneHot(f"{role}_wide:s", ("a", "é☃ 🙂"), other=True) for role in ROLES))


SCHEMA = ContextSchema(_fields())


def write_repo(repo: Path) -> None:
    (repo / "definitions.py").write_text(_DEFINITIONS)
    (repo / "feature_store.yaml").write_text(_STORE)


def keys_of(role: str) -> list[str]:
    """Entities with a row, as requests name them."""
    if role == "item":
        return [f"sku é {number}" for number in range(ROWS[role])]
    return [str(number * (-1) ** number) for number in range(ROWS[role])]


def write_rows(folder: Path, now: datetime) -> None:
    for index, role in enumerate(ROLES):
        rng, rows = np.random.default_rng(index), ROWS[role]
        keys = keys_of(role)
        key_type = {"user": pa.int64(), "item": pa.string(), "placement": pa.int32()}[role]
        table = pa.table(
            {
                JOIN_KEYS[role]: pa.array([key if role == "item" else int(key) for key in keys], key_type),
                "s": pa.array([_ODD_TEXTS[i] for i in rng.integers(0, len(_ODD_TEXTS), rows)]),
                "i": pa.array(_integers(rng, rows, 31), pa.int32()),
                "l": pa.array(_integers(rng, rows, 63), pa.int64()),
                "d": pa.array(_floats(rng, rows), pa.float64()),
                "f": pa.array(_floats(rng, rows), pa.float32()),
                "b": pa.array([bool(i) for i in rng.integers(0, 2, rows)]),
                "t": pa.array(
                    [
                        datetime(1969, 1, 1, tzinfo=UTC) + timedelta(seconds=int(s))
                        for s in rng.integers(0, 2**31, rows)
                    ],
                    pa.timestamp("us", tz="UTC"),
                ),
                "event_timestamp": pa.array(
                    [now - timedelta(hours=int(hours), microseconds=int(hours)) for hours in rng.integers(0, 48, rows)],
                    pa.timestamp("us", tz="UTC"),
                ),
            }
        )
        pq.write_table(_with_nulls(table, rng), folder / f"{role}_wide.parquet")


def damage(plan: ReadPlan, run: Callable[..., object]) -> None:
    """Delete rows, fields and event times, and leave empty values, as evictions and other writers do."""
    rng = np.random.default_rng(99)
    for entity in plan.entities:
        (view,) = entity.views
        fields = [*(feature.field for feature in view.features), view.timestamp_field]
        for key in keys_of(entity.role):
            redis_key = entity_key(entity, plan.project, key)
            fate = rng.random()
            if fate < 0.05:
                run("DEL", redis_key)
            elif fate < 0.1:
                run("PEXPIRE", redis_key, 1)
            elif fate < 0.4:
                run("HDEL", redis_key, *(field for field in fields if rng.random() < 0.5), b"nothing")
            elif fate < 0.5:
                run("HSET", redis_key, fields[int(rng.integers(len(fields) - 1))], b"")


def without_ttl(plan: ReadPlan) -> ReadPlan:
    """The plan as the SDK reads: whatever the age."""
    entities = tuple(
        dataclasses.replace(entity, views=tuple(dataclasses.replace(view, ttl_ms=0) for view in entity.views))
        for entity in plan.entities
    )
    return dataclasses.replace(plan, entities=entities)


def _integers(rng: np.random.Generator, rows: int, bits: int) -> list[int]:
    extremes = [0, 1, -1, 127, 128, 2**bits - 1, -(2**bits), -(2**bits) + 1]
    return [*extremes[:rows], *(int(i) for i in rng.integers(-(2**bits), 2**bits - 1, max(0, rows - len(extremes))))]


def _floats(rng: np.random.Generator, rows: int) -> list[float]:
    extremes = [0.0, -0.0, math.nan, math.inf, -math.inf, 1e-45, 3.4028234663852886e38, 0.1]
    return [*extremes[:rows], *(float(f) for f in rng.normal(scale=1e3, size=max(0, rows - len(extremes))))]


def _with_nulls(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    columns = {}
    for name in table.column_names:
        values = table.column(name).to_pylist()
        # Feast itself moves an int64 column with nulls through float64: its extremes would be lost or refused.
        if name in TYPES and name != "l":
            values = [None if rng.random() < 0.1 else value for value in values]
        columns[name] = pa.array(values, table.schema.field(name).type)
    return pa.table(columns)
