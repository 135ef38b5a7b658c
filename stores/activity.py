"""Activity rows in the object store, for training: Parquet, an object for each bucket of log time and user shard.

What an object holds is a function of the log, so whoever writes it first writes what anyone else would.
"""

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from contracts import ACTIVITY_FORMAT, ACTIVITY_SCHEMA, FormatError, keys
from stores.archive import CONTENT_TYPE
from stores.objects import ObjectStore


def write_activity(objects: ObjectStore, rows: pa.Table, *, bucket_end_ms: int, shard: int) -> bool:
    """Write a table of ``ACTIVITY_SCHEMA`` unless there is one of that bucket and shard; tells whether it was written.

    Raises:
        UnavailableError: if the object store did not answer.
    """
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return objects.put_if_absent(keys.activity_object(bucket_end_ms, shard), sink.getvalue(), CONTENT_TYPE)


def read_activity(objects: ObjectStore, *, since_ms: int = 0) -> Iterator[pa.Table]:
    """Tables of all buckets that end at ``since_ms`` or later, in no order.

    Raises:
        FormatError: if an object is damaged or of another format.
        UnavailableError: if the object store did not answer.
    """
    for path in objects.list(keys.ACTIVITY_OBJECTS):
        end = path.removeprefix(keys.ACTIVITY_OBJECTS).partition("-")[0]
        if not end.isdecimal():
            message = f"activity object {path!r} is not named by a bucket's end and a shard: move it away"
            raise FormatError(message)
        if int(end) >= since_ms:
            yield _decode(objects.get(path), path)


def _decode(data: bytes, path: str) -> pa.Table:
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        message = f"activity object {path!r} of {len(data)} bytes is damaged: {error}"
        raise FormatError(message) from error
    if (table.schema.metadata or {}).get(b"format") != ACTIVITY_FORMAT.encode() or not table.schema.equals(
        ACTIVITY_SCHEMA
    ):
        message = f"activity object {path!r} is not of format {ACTIVITY_FORMAT!r}"
        raise FormatError(message)
    return table
