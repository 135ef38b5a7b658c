"""The Parquet files behind the aggregated views: every run of the batch job adds the rows of its time."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts import SetupError
from feature_repo.aggregates import Aggregates, stats_schemas
from feature_repo.files import part_of

_ROWS_AT_ONCE = 20_000


def ensure_stats(folder: Path, aggregates: Aggregates) -> None:
    """Write an empty file for every aggregated view that has none, so that Feast finds what is registered.

    Raises:
        SetupError: if a file cannot be written.
    """
    for view, schema in stats_schemas(aggregates).items():
        if not (folder / f"{view}.parquet").exists():
            with _replacing(folder / f"{view}.parquet", schema):
                pass


def add_stats(
    path: Path, schema: pa.Schema, rows: Iterable[pa.Table], *, as_of: datetime, keep: timedelta = timedelta.max
) -> int:
    """Add the rows of one run to a view's file in one step, batch by batch; returns how many there are of that run.

    Rows of an earlier run as of the same time are replaced, those older than ``keep`` before ``as_of`` are left out,
    and so are rows of columns that the view no longer has; a column that is new is null in older rows.

    Raises:
        SetupError: if the file cannot be read or written.
    """
    added = 0
    with _replacing(path, schema) as writer:
        for batch in _kept(path, schema, as_of, keep):
            writer.write_table(batch)
        for table in rows:
            writer.write_table(table.select(schema.names).cast(schema))
            added += table.num_rows
    return added


def _kept(path: Path, schema: pa.Schema, as_of: datetime, keep: timedelta) -> Iterator[pa.Table]:
    if not path.exists():
        return
    oldest = None if keep == timedelta.max else pa.scalar(as_of - keep, schema.field("event_timestamp").type)
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                table = pa.Table.from_batches([batch])
                columns = [
                    table.column(field.name).cast(field.type)
                    if field.name in table.column_names
                    else pa.nulls(len(table), field.type)
                    for field in schema
                ]
                table = pa.Table.from_arrays(columns, schema=schema)
                times = table.column("event_timestamp")
                wanted = pc.not_equal(times, pa.scalar(as_of, times.type))
                if oldest is not None:
                    wanted = pc.and_(wanted, pc.greater_equal(times, oldest))
                kept = table.filter(wanted)
                if len(kept):
                    yield kept
    except (pa.ArrowException, OSError) as error:
        message = f"{path} cannot be read ({error}): move it away, the next run starts a new one"
        raise SetupError(message) from error


@contextmanager
def _replacing(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Write a file beside ``path`` and put it in its place at the end; nothing is left of one that fails."""
    with part_of(path) as part, pq.ParquetWriter(part, schema) as writer:
        yield writer
