"""Arrow IPC streams of exactly one record batch, with text metadata: the envelope of every stored blob."""

from collections.abc import Mapping

import pyarrow as pa

from contracts.errors import FormatError, FormatVersionError

MAX_BLOB_BYTES = 256 * 1024 * 1024


def write_stream(batch: pa.RecordBatch, metadata: Mapping[str, str]) -> bytes:
    """Write one batch with ``metadata`` in its schema."""
    schema = batch.schema.with_metadata(dict(metadata))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_stream(blob: bytes) -> tuple[pa.RecordBatch, dict[str, str]]:
    """Read what ``write_stream`` wrote: the batch (its schema without metadata) and the metadata.

    Raises:
        FormatError: if the bytes are not such a stream.
    """
    return read_streams(blob, 1)[0]


def read_streams(blob: bytes, count: int) -> list[tuple[pa.RecordBatch, dict[str, str]]]:
    """Read ``count`` streams written one behind the other.

    Raises:
        FormatError: if the bytes are not exactly that.
    """
    if len(blob) > MAX_BLOB_BYTES:
        message = f"blob has {len(blob)} bytes, the limit is {MAX_BLOB_BYTES}"
        raise FormatError(message)
    source = pa.BufferReader(blob)
    found: list[tuple[pa.RecordBatch, dict[str, str]]] = []
    try:
        for _ in range(count):
            with pa.ipc.open_stream(source) as reader:
                batches = list(reader)
                metadata = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
            if len(batches) != 1:
                message = f"blob holds {len(batches)} record batches where one is expected"
                raise FormatError(message)
            batch = batches[0].replace_schema_metadata(None)
            # Column names are decoded when asked for: damaged ones must fail here.
            batch = batch.rename_columns(batch.schema.names)
            # Arrow trusts offsets and lengths unless asked: damaged ones would be read outside the blob.
            batch.validate(full=True)
            found.append((batch, metadata))
        if source.tell() != len(blob):
            message = f"blob has {len(blob) - source.tell()} bytes behind its end"
            raise FormatError(message)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        message = f"blob of {len(blob)} bytes is not an Arrow stream: {error}"
        raise FormatError(message) from error
    return found


def require_columns(batch: pa.RecordBatch, schema: pa.Schema, what: str) -> None:
    """Check that a batch has exactly the columns of ``schema`` and no nulls, inside lists and dictionaries neither.

    Raises:
        FormatError: naming ``what`` the batch was to be.
    """
    if not batch.schema.equals(schema):
        message = f"{what} has the columns {batch.schema.names}, or other types, where {schema.names} are expected"
        raise FormatError(message)
    for name, column in zip(schema.names, batch.columns, strict=True):
        is_list = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
        within = column.flatten() if is_list else column.dictionary if pa.types.is_dictionary(column.type) else column
        if column.null_count or within.null_count:
            message = f"{what} holds nulls in column {name}"
            raise FormatError(message)


def require_metadata(metadata: Mapping[str, str], expected: str) -> None:
    """Check the format name and version.

    Raises:
        FormatVersionError: naming what was found and what this version reads.
    """
    if metadata.get("format") != expected:
        message = f"blob has format {metadata.get('format')!r}, this version reads {expected!r}"
        raise FormatVersionError(message)
