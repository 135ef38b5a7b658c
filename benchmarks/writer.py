"""Stream writes against Feast's SDK, turn by turn in one process on one Redis: the same rows, newer each time."""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.report import Row, at_least
from contracts import PlannedEntity, PlannedFeature, PlannedView, ReadPlan, WritePlan, entity_key
from feature_repo import apply_and_materialize
from stores import EmbeddedRedis, OnlineWriter, connect
from stores.connect import command

PACKAGES = ("feast", "redis", "pandas")

FEW, MANY = 4, 15
ROUNDS = 15
# A stream writes batch upon batch: a turn is a few.
CALLS = 4
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES = ("INT64", "FLOAT", "STRING")

_DEFINITIONS = """
import os
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Float32, Int64, String

FOLDER = os.environ["BACKDROP_FEATURES_DIR"]
TYPES = (Int64, Float32, String)
user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING)


def view(count):
    batch = FileSource(name=f"file_{count}", path=f"{FOLDER}/view_{count}.parquet", timestamp_field="event_timestamp")
    return FeatureView(
        name=f"view_{count}",
        entities=[user],
        ttl=timedelta(hours=1),
        schema=[Field(name=f"f{i}", dtype=TYPES[i % len(TYPES)]) for i in range(count)],
        source=PushSource(name=f"push_{count}", batch_source=batch),
    )


few, many = view(4), view(15)
"""
_STORE = """
project: writer
provider: local
registry: registry.db
offline_store: {type: duckdb}
online_store: {type: redis, connection_string: "localhost:6379"}
entity_key_serialization_version: 3
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a view in the forms that either side takes."""

    keys: list[str]
    columns: dict[str, list[Any]]

    def frame(self, at: datetime) -> Any:
        """As a pandas frame."""
        import pandas as pd

        return pd.DataFrame({"user": self.keys, **self.columns, "event_timestamp": [at] * len(self.keys)})


def make_rows(count: int, features: int) -> Rows:
    """Random rows: whole numbers, floats and short texts in turn."""
    rng = np.random.default_rng(features)
    made: dict[str, Callable[[], list[Any]]] = {
        "INT64": lambda: rng.integers(0, 500, count).tolist(),
        "FLOAT": lambda: rng.random(count).astype(np.float32).tolist(),
        "STRING": lambda: [f"text {number}" for number in rng.integers(0, 50, count).tolist()],
    }
    columns = {f"f{i}": made[_TYPES[i % len(_TYPES)]]() for i in range(features)}
    return Rows([f"user-{number}" for number in range(count)], columns)


def plan_of(features: int) -> WritePlan:
    """The write plan of one view, as it is compiled from the registry."""
    from feast.infra.online_stores.helpers import _mmh3

    name = f"view_{features}"
    planned = tuple(PlannedFeature(f"f{i}", _mmh3(f"{name}:f{i}"), _TYPES[i % len(_TYPES)]) for i in range(features))
    entity = PlannedEntity("user", "user", "STRING", (PlannedView(name, 3_600_000, planned),))
    return WritePlan(ReadPlan("writer", (entity,)))


def rows() -> Iterator[Row]:
    """The figures."""
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as server:
        store = _sdk(Path(folder), server.url)
        with connect(server.url) as client:
            for features, target in ((FEW, 2), (MANY, 4)):
                name, made = f"view_{features}", make_rows(1_000, features)
                writer = OnlineWriter(plan_of(features), name, client)
                yield _same(client, store, writer, made, features)
                ours, theirs = _in_turn(_ours(writer, made), _theirs(store.write_to_online_store, name, made))
                yield from _compared(
                    f"1,000 rows of {features} features", "write_to_online_store", ours, theirs, target
                )
            made = make_rows(100, FEW)
            writer = OnlineWriter(plan_of(FEW), f"view_{FEW}", client)
            # So that all rows are newer than what is held.
            command(client, "FLUSHDB")
            ours, theirs = _in_turn(_ours(writer, made), _theirs(store.push, f"push_{FEW}", made))
            yield from _compared(f"100 rows of {FEW} features", "push", ours, theirs, 10)


def _sdk(folder: Path, url: str) -> Any:
    from feast.feature_store import FeatureStore

    repo = folder / "repo"
    repo.mkdir()
    (repo / "definitions.py").write_text(_DEFINITIONS)
    (repo / "feature_store.yaml").write_text(_STORE)
    for features in (FEW, MANY):
        made = make_rows(1, features)
        table = pa.Table.from_pandas(made.frame(_BEGAN))
        # Feast's engine reads no nanoseconds.
        pq.write_table(table, folder / f"view_{features}.parquet", coerce_timestamps="us")
    store_file = apply_and_materialize(
        repo, redis_url=url, features_dir=folder, registry_path=folder / "registry.db", now=_BEGAN
    )
    return FeatureStore(repo_path=str(repo), fs_yaml_file=store_file)


def _same(client: Any, store: Any, writer: OnlineWriter, made: Rows, features: int) -> Row:
    """Whether both leave the same bytes."""
    (entity,) = plan_of(features).plan.entities
    held = []
    for write in (
        _ours(writer, made),
        _theirs(store.write_to_online_store, f"view_{features}", made),
    ):
        command(client, "FLUSHDB")
        write(_BEGAN)
        held.append([command(client, "HGETALL", entity_key(entity, "writer", key)) for key in made.keys])
    return at_least(f"the same bytes, {features} features", float(held[0] == held[1]), "", 1)


def _ours(writer: OnlineWriter, made: Rows) -> Callable[[datetime], object]:
    return lambda at: writer.write(made.keys, _micros(at), made.columns)


def _theirs(call: Callable[..., object], name: str, made: Rows) -> Callable[[datetime], object]:
    return lambda at: call(name, made.frame(at))


def _in_turn(
    ours: Callable[[datetime], object], theirs: Callable[[datetime], object]
) -> tuple[list[float], list[float]]:
    """Seconds that each call took; every row is newer than the one before, so all are written."""
    took: tuple[list[float], list[float]] = ([], [])
    at = datetime.now(UTC)
    for number in range(2 * (ROUNDS + 1)):
        side = number % 2
        for _ in range(CALLS):
            at += timedelta(seconds=1)
            began = time.perf_counter()
            (ours, theirs)[side](at)
            # The first turn of each warms up connections and caches.
            if number > 1:
                took[side].append(time.perf_counter() - began)
    return took


def _compared(what: str, call: str, ours: Sequence[float], theirs: Sequence[float], target: float) -> Iterator[Row]:
    mine, other = statistics.median(ours), statistics.median(theirs)
    yield Row(f"{what}: ours", mine * 1000, "ms")
    yield Row(f"{what}: feast {call}", other * 1000, "ms")
    yield at_least(
        f"{what}: feast {call} over ours",
        other / mine,
        "times",
        target,
        note=f"medians of {ROUNDS * CALLS} calls, {CALLS} in turn",
    )


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
