"""The online writer against the Feast SDK: the same rows leave the same bytes, key by key."""

import importlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import WritePlan
from feature_repo import write_store_config
from stores import OnlineWriter, connect
from stores.connect import command
from stores.feast_encode import encode_timestamp, encoder_of
from stores.feast_values import decode_timestamp
from tests.feature_repo import wide
from tests.feature_repo.shop import Shop

THEIRS, OURS = 5, 6


@pytest.fixture(scope="module")
def sdk(wide_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The SDK on the wide repository, writing to a database of its own."""
    from feast.feature_store import FeatureStore

    folder = tmp_path_factory.mktemp("sdk")
    shutil.copy(wide_shop.folder / "registry.db", folder)
    url = wide_shop.redis_url.removesuffix("/0")
    store_file = write_store_config(wide_shop.repo, redis_url=f"{url}/{THEIRS}", registry_path=folder / "registry.db")
    return FeatureStore(repo_path=str(wide_shop.repo), fs_yaml_file=store_file)


@pytest.fixture
def databases(wide_shop: Shop) -> Iterator[tuple[redis.Redis, redis.Redis]]:
    """Theirs and ours, empty."""
    url = wide_shop.redis_url.removesuffix("/0")
    clients = connect(f"{url}/{THEIRS}"), connect(f"{url}/{OURS}")
    for client in clients:
        command(client, "FLUSHDB")
    yield clients
    for client in clients:
        client.close()


def dump(client: redis.Redis) -> dict[bytes, dict[bytes, bytes]]:
    return {key: command(client, "HGETALL", key) for key in command(client, "KEYS", "*")}


def columns_of(table: pa.Table) -> dict[str, list[Any]]:
    columns = {name: table.column(name).to_pylist() for name in wide.TYPES}
    columns["t"] = [None if value is None else int(value.timestamp()) for value in columns["t"]]
    return columns


@pytest.mark.parametrize("role", wide.ROLES)
def test_rows_of_every_type_leave_the_bytes_that_the_sdk_leaves(
    role: str, wide_shop: Shop, sdk: Any, databases: tuple[redis.Redis, redis.Redis]
) -> None:
    theirs, ours = databases
    view, table = f"{role}_wide", pq.read_table(wide_shop.folder / f"{role}_wide.parquet")
    # Through pandas an integer column with nulls would be one of floats: Feast is given one without.
    whole = table.set_column(table.schema.get_field_index("i"), "i", pa.array(np.arange(len(table)) - 5, pa.int32()))
    sdk.write_to_online_store(view, whole.to_pandas(timestamp_as_object=False))
    times_us = [_micros(at) for at in table.column("event_timestamp").to_pylist()]
    keys = [str(key) for key in table.column(wide.JOIN_KEYS[role]).to_pylist()]
    done = OnlineWriter(WritePlan(wide_shop.plan), view, ours).write(keys, times_us, columns_of(whole))
    assert (done.put, done.newer) == (len(table), 0)
    assert dump(ours) == dump(theirs)
    assert len(dump(ours)) == wide.ROWS[role]


BATCHES = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=6),
    min_size=1,
    max_size=4,
)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BATCHES)
def test_older_and_equal_rows_stay_out_as_they_do_in_the_sdk(
    wide_shop: Shop, sdk: Any, databases: tuple[redis.Redis, redis.Redis], batches: list[list[tuple[int, int, int]]]
) -> None:
    """Steps of half a microsecond would be lost by both: of 250 ms here, so that nanoseconds matter, too."""
    import pandas as pd

    theirs, ours = databases
    for client in databases:
        command(client, "FLUSHDB")
    writer = OnlineWriter(WritePlan(wide_shop.plan), "user_wide", ours)
    for rows in batches:
        times = [BEGAN + timedelta(milliseconds=250 * step) for _, step, _ in rows]
        columns: dict[str, list[Any]] = {
            "s": [f"{value}" for *_, value in rows],
            "i": [value % 1000 for *_, value in rows],
            "l": [value for *_, value in rows],
            "d": [float(value) for *_, value in rows],
            "f": [value / 7 for *_, value in rows],
            "b": [value % 2 == 0 for *_, value in rows],
            "t": [abs(value) % 2**33 for *_, value in rows],
        }
        frame = pd.DataFrame(
            {
                **columns,
                "t": pd.to_datetime(columns["t"], unit="s", utc=True),
                "user_id": [user for user, *_ in rows],
                "event_timestamp": times,
            }
        )
        sdk.write_to_online_store("user_wide", frame)
        writer.write([str(user) for user, *_ in rows], [_micros(at) for at in times], columns)
        assert dump(ours) == dump(theirs)


SCALARS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])).map(lambda value: ("STRING", "string_val", value)),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: ("INT32", "int32_val", value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: ("INT64", "int64_val", value)),
    st.floats(allow_nan=False).map(lambda value: ("DOUBLE", "double_val", value)),
    st.floats(allow_nan=False).map(lambda value: ("FLOAT", "float_val", value)),
    st.booleans().map(lambda value: ("BOOL", "bool_val", value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: ("UNIX_TIMESTAMP", "unix_timestamp_val", value)),
)


@given(SCALARS)
def test_every_value_is_written_as_protobuf_writes_it(scalar: tuple[str, str, Any]) -> None:
    from feast.protos.feast.types.Value_pb2 import Value as ValueProto

    kind, name, value = scalar
    assert encoder_of(kind)(value) == ValueProto(**{name: value}).SerializeToString()


@given(st.integers(0, 253_402_300_799 * 10**6))
def test_times_are_written_as_protobuf_writes_them(event_us: int) -> None:
    stamp = importlib.import_module("google.protobuf.timestamp_pb2").Timestamp()
    stamp.FromMicroseconds(event_us)
    assert encode_timestamp(event_us) == stamp.SerializeToString()
    assert decode_timestamp(encode_timestamp(event_us)) == event_us * 1000


def test_nulls_are_written_as_the_sdk_writes_them() -> None:
    from feast.type_map import python_values_to_proto_values
    from feast.value_type import ValueType

    nan = float("nan")
    pairs: dict[str, list[Any]] = {
        "STRING": ["a", None],
        "INT32": [1, None],
        "INT64": [1, None],
        "DOUBLE": [1.0, None, nan],
        "FLOAT": [1.0, None, nan],
        "BOOL": [True, None],
    }
    for kind, values in pairs.items():
        theirs = python_values_to_proto_values(values, ValueType[kind])
        assert [encoder_of(kind)(value) for value in values] == [value.SerializeToString() for value in theirs]
    # As it comes from a column of times, where null is NaT.
    times: Any = np.array([1, "NaT"], "datetime64[s]")
    (_, null) = python_values_to_proto_values(times, ValueType.UNIX_TIMESTAMP)
    assert encoder_of("UNIX_TIMESTAMP")(None) == null.SerializeToString()


def _micros(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
