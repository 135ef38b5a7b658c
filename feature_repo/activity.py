"""The Parquet file behind the view of user activity, gathered from what learners have put by."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts import ACTIVITY_SCHEMA, ACTIVITY_VIEW
from feature_repo.files import write_whole

ACTIVITY_FILE = f"{ACTIVITY_VIEW}.parquet"


def gather_activity(folder: Path, tables: Iterable[pa.Table]) -> Path:
    """Write tables of ``ACTIVITY_SCHEMA`` as one file, empty if there are none; returns its path.

    Raises:
        SetupError: if the file cannot be written.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, ACTIVITY_SCHEMA) as writer:
        for table in tables:
            writer.write_table(table)
    return write_whole(folder / ACTIVITY_FILE, sink.getvalue().to_pybytes())
