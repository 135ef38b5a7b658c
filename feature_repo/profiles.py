"""The Parquet files behind the views: one row an entity and event time."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts import InvalidInputError
from feature_repo.activity import ACTIVITY_FILE, gather_activity
from feature_repo.files import write_whole

_EVENT_TIME = ("event_timestamp", pa.timestamp("us", tz="UTC"))

# First column: the entity. Types are those of definitions.py, so that offline and online values are the same.
PROFILE_SCHEMAS: Mapping[str, pa.Schema] = MappingProxyType(
    {
        "user_profile": pa.schema(
            [
                ("user", pa.string()),
                ("browse_segment", pa.string()),
                ("device", pa.string()),
                ("price_affinity", pa.float32()),
                _EVENT_TIME,
            ]
        ),
        "item_profile": pa.schema(
            [
                ("item", pa.string()),
                ("category", pa.string()),
                ("price", pa.float32()),
                ("popularity", pa.float32()),
                ("url", pa.string()),
                ("image_url", pa.string()),
                _EVENT_TIME,
            ]
        ),
        "placement_profile": pa.schema(
            [
                ("placement", pa.string()),
                ("width", pa.int64()),
                ("height", pa.int64()),
                ("position", pa.string()),
                _EVENT_TIME,
            ]
        ),
    }
)


def write_profiles(folder: Path, *, users: pa.Table, items: pa.Table, placements: pa.Table) -> None:
    """Write the tables as ``<view>.parquet`` in ``folder``, cast to ``PROFILE_SCHEMAS``; other columns are left out.

    Raises:
        InvalidInputError: if a column is missing, cannot be cast, an entity or event time is null, or an entity has
            two rows of one time: which of them holds would be left to chance.
        SetupError: if a file cannot be written.
    """
    tables = {"user_profile": users, "item_profile": items, "placement_profile": placements}
    checked = {view: _checked(view, table) for view, table in tables.items()}
    for view, table in checked.items():
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        write_whole(folder / f"{view}.parquet", sink.getvalue().to_pybytes())
    if not (folder / ACTIVITY_FILE).exists():
        # Feast loads no view without its file.
        gather_activity(folder, ())


def _checked(view: str, table: pa.Table) -> pa.Table:
    schema = PROFILE_SCHEMAS[view]
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        message = f"{view} table has no columns {missing}: it needs {schema.names}"
        raise InvalidInputError(message)
    try:
        checked = table.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        message = (
            f"{view} table cannot be cast to {dict(zip(schema.names, map(str, schema.types), strict=True))}: {error}"
        )
        raise InvalidInputError(message) from error
    for name in (schema.names[0], "event_timestamp"):
        if checked.column(name).null_count:
            message = f"{view} table has {checked.column(name).null_count} rows without {name}: leave them out"
            raise InvalidInputError(message)
    _refuse_ties(view, checked)
    return checked


def _refuse_ties(view: str, table: pa.Table) -> None:
    keys = [table.schema.names[0], "event_timestamp"]
    ties = table.group_by(keys).aggregate([([], "count_all")]).filter(pc.field("count_all") > 1)
    if len(ties):
        first = ties.select(keys).slice(0, 1).to_pylist()[0]
        message = f"{view} table has {len(ties)} entities with several rows of one time, such as {first}: keep one each"
        raise InvalidInputError(message)
