"""Training frames: every row asked for comes back, in its place, with the features of its time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts import ContextSchema, InvalidInputError, SetupError
from feature_repo import historical_contexts, load_context_schema, write_profiles
from feature_repo.materialize import duckdb_closed
from tests.feature_repo import profiles
from tests.feature_repo.shop import Shop

Row = dict[str, Any]


@pytest.fixture(scope="module")
def times(shop: Shop) -> Iterator[list[datetime]]:
    """Every user gets two older rows beside its newest; the shop's files are put back at the end."""
    tables = profiles.tables(shop.now)
    times = [shop.now - timedelta(days=days) for days in (31, 29.5)]
    users, kept = tables["user"], {path: path.read_bytes() for path in shop.folder.glob("*_profile.parquet")}
    older = []
    for number, at in enumerate(times):
        column = pa.array([at] * len(users), users.schema.field("event_timestamp").type)
        affinity = pa.array([0.1 + number / 10] * len(users), pa.float32())
        at_place = users.schema.names.index
        older.append(
            users.set_column(at_place("event_timestamp"), "event_timestamp", column).set_column(
                at_place("price_affinity"), "price_affinity", affinity
            )
        )
    write_profiles(
        shop.folder,
        users=pa.concat_tables([users, *older]),
        items=tables["item"],
        placements=tables["placement"],
    )
    yield times
    for path, data in kept.items():
        path.write_bytes(data)


def naive(folder: Path, schema: ContextSchema, asked: list[Row]) -> np.ndarray[Any, Any]:
    """The join by its definition: the newest row of each view not after the time and not older than the TTL."""
    ttl = {"user_profile": 30, "item_profile": 90, "placement_profile": 365}
    known: dict[tuple[str, str], list[Row]] = {}
    for view in ttl:
        for row in pq.read_table(folder / f"{view}.parquet").to_pylist():
            known.setdefault((view, row[view.partition("_")[0]]), []).append(row)
    columns: dict[str, list[object]] = {name: [] for name in schema.features}
    for row in asked:
        for name in schema.features:
            view, _, feature = name.partition(":")
            at = row["event_timestamp"]
            rows = [
                found
                for found in known.get((view, row[view.partition("_")[0]]), [])
                if at - timedelta(days=ttl[view]) <= found["event_timestamp"] <= at
            ]
            newest = max(rows, key=lambda found: found["event_timestamp"], default=None)
            columns[name].append(newest[feature] if newest else None)
    return schema.encode(*schema.raw(columns))


def test_thousands_of_rows_come_back_in_order(shop: Shop, times: list[datetime]) -> None:
    rng = np.random.default_rng(5)
    users = [*(f"u{number}" for number in range(profiles.USERS)), "stranger", "Ünïcode ☃"]
    items = [*(f"i{number}" for number in range(profiles.ITEMS)), "nothing"]
    slots = [*(name for name, *_ in profiles.PLACEMENTS), "nowhere"]
    edges = [shop.now, *times, *(at + timedelta(days=30) for at in times)]
    moments = [
        at + step for at in edges for step in (timedelta(0), timedelta(milliseconds=-1), timedelta(milliseconds=1))
    ]
    asked = [
        {
            "user": users[rng.integers(len(users))],
            "item": items[rng.integers(len(items))],
            "placement": slots[rng.integers(len(slots))],
            "event_timestamp": moments[rng.integers(len(moments))],
        }
        for _ in range(5_000)
    ]
    # The same row many times, far apart.
    asked[::97] = [asked[0]] * len(asked[::97])
    frame = pd.DataFrame(asked).assign(user_profile__device="mine", weight=1.0)
    before = frame.copy()
    found = historical_contexts(shop.repo, shop.schema, frame, store_file=shop.store_file)
    assert found.shape == (5_000, shop.schema.d)
    assert np.array_equal(found, naive(shop.folder, shop.schema, asked))
    assert len({row.tobytes() for row in found[::97]}) == 1
    assert len(np.unique(found, axis=0)) > 500
    assert frame.equals(before)


def test_a_time_is_the_same_in_every_zone_and_form(shop: Shop, times: list[datetime]) -> None:
    base = pd.DataFrame({"user": ["u4", "u5"], "item": "i1", "placement": "square"})
    forms: list[Any] = [
        [shop.now, times[0]],
        pd.DatetimeIndex([shop.now, times[0]]).tz_convert("Asia/Kathmandu"),
        [shop.now.astimezone(UTC).replace(tzinfo=None), times[0].replace(tzinfo=None)],
        [shop.now.isoformat(), times[0].isoformat()],
        [shop.now, times[0].isoformat(timespec="microseconds")],
        [shop.now.isoformat(timespec="milliseconds"), times[0].isoformat()],
    ]
    found = [
        historical_contexts(shop.repo, shop.schema, base.assign(event_timestamp=form), store_file=shop.store_file)
        for form in forms
    ]
    assert all(np.array_equal(found[0], other) for other in found[1:])
    assert not np.array_equal(found[0][0], found[0][1])


def test_an_index_that_is_no_count_does_not_matter(shop: Shop) -> None:
    frame = pd.DataFrame(
        {"user": ["u4", "u8", "u4"], "item": "i1", "placement": "square", "event_timestamp": shop.now}, index=[7, 7, 3]
    )
    found = historical_contexts(shop.repo, shop.schema, frame, store_file=shop.store_file)
    assert np.array_equal(found[0], found[2])
    nothing = historical_contexts(shop.repo, shop.schema, frame.iloc[:0], store_file=shop.store_file)
    assert nothing.shape == (0, shop.schema.d)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("event_timestamp", None, "1 rows, the first of them row 1: event_timestamp"),
        ("event_timestamp", pd.NaT, "row 1: event_timestamp NaT is no time"),
        ("event_timestamp", "yesterday", "row 1: event_timestamp 'yesterday' is no time"),
        ("event_timestamp", 1_767_225_600_000, "row 1: event_timestamp 1767225600000 is no time"),
        ("user", None, "row 1: user None is no entity"),
        ("item", 5, "row 1: item 5 is no entity"),
        ("placement", float("nan"), "row 1: placement nan is no entity"),
    ],
)
def test_rows_that_cannot_be_asked_are_refused(shop: Shop, column: str, value: object, words: str) -> None:
    good: Row = {"user": "u4", "item": "i1", "placement": "square", "event_timestamp": shop.now}
    frame = pd.DataFrame([good, good | {column: value}], dtype=object)
    with pytest.raises(InvalidInputError, match=words):
        historical_contexts(shop.repo, shop.schema, frame, store_file=shop.store_file)


def test_missing_columns_and_files_are_named(shop: Shop, tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": ["u4"], "item": ["i1"], "event_timestamp": [shop.now]})
    with pytest.raises(InvalidInputError, match=r"no columns \['placement'\]"):
        historical_contexts(shop.repo, shop.schema, frame, store_file=shop.store_file)
    stats = load_context_schema(shop.repo / "context_stats.yaml")
    whole = frame.assign(placement="square")
    (shop.folder / "user_stats.parquet").rename(tmp_path / "away")
    try:
        with pytest.raises(SetupError, match=r"user_stats\.parquet"):
            historical_contexts(shop.repo, stats, whole, store_file=shop.store_file)
    finally:
        (tmp_path / "away").rename(shop.folder / "user_stats.parquet")
    # Views that no job has filled yet have no features, and that is all.
    assert historical_contexts(shop.repo, stats, whole, store_file=shop.store_file).shape == (1, stats.d)


def test_reading_leaves_the_process_as_it_was(shop: Shop) -> None:
    import ibis

    before = ibis.options.default_backend
    with duckdb_closed():
        pass
    frame = pd.DataFrame({"user": ["u4"], "item": "i1", "placement": "square", "event_timestamp": [shop.now]})
    historical_contexts(shop.repo, shop.schema, frame, store_file=shop.store_file)
    assert ibis.options.default_backend is before
