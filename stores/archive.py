"""The archive: log entries in Parquet.

An object's name holds the range ``(after, last]`` of positions that it covers: every entry of the partition in
that range is in it. So coverage is known from a listing alone, ranges may overlap (a reader that starts again
cuts its batches elsewhere), and a hole is seen as one.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from contracts import EventLog, FormatError, InvalidInputError, LogEntry, Position, keys
from stores.objects import ObjectStore

ARCHIVE_FORMAT = "archive/1"
CONTENT_TYPE = "application/vnd.apache.parquet"
_ROWS_AT_ONCE = 256
_MAX_SEQUENCE = (1 << 63) - 1
_SCHEMA = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("append_ms", pa.int64(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("blob", pa.binary(), nullable=False),
    ],
    metadata={"format": ARCHIVE_FORMAT},
)


@dataclass(frozen=True, slots=True, order=True)
class ArchivedRange:
    """One archive object: it holds every entry of its partition behind ``after`` up to ``last``."""

    after: Position
    last: Position
    path: str


def following(position: Position) -> Position:
    """Smallest position behind ``position``."""
    return Position(position.append_ms, position.sequence + 1)


def before(position: Position) -> Position:
    """Largest position below ``position``."""
    if position.sequence > 0:
        return Position(position.append_ms, position.sequence - 1)
    return Position(position.append_ms - 1, _MAX_SEQUENCE)


def write_archive(
    objects: ObjectStore, entries: Sequence[LogEntry], *, after: Position | None = None
) -> tuple[str, ...]:
    """Write log entries, one object a partition, unless there is one of the same range; returns new paths.

    ``entries`` are in log order, without holes. ``after`` is the position behind which they were read (one
    partition only): it links the object to the one before. Without it only the range from the first entry on
    is claimed, so that a trimmed log cannot be told complete.

    Raises:
        InvalidInputError: if entries are out of order or not behind ``after``.
        UnavailableError: if the object store did not answer.
    """
    by_partition: dict[int, list[LogEntry]] = {}
    for entry in entries:
        by_partition.setdefault(entry.partition, []).append(entry)
    if after is not None and len(by_partition) > 1:
        message = f"entries of partitions {sorted(by_partition)} have one 'after': write each partition by itself"
        raise InvalidInputError(message)
    written = []
    for partition, own in by_partition.items():
        start = before(own[0].position) if after is None else after
        _require_order(start, own)
        path = keys.archive_object(partition, str(start), str(own[-1].position))
        if objects.put_if_absent(path, _encode(own), CONTENT_TYPE):
            written.append(path)
    return tuple(written)


def archived_ranges(objects: ObjectStore, partition: int) -> list[ArchivedRange]:
    """Ranges of a partition's archive objects, ascending; they may overlap and leave holes.

    Raises:
        FormatError: if an object under the archive's path has another kind of name.
    """
    return sorted(_parse_range(path) for path in objects.list(f"archive/{partition}/"))


def archived_through(objects: ObjectStore, partition: int, after: Position) -> Position:
    """How far the archive reaches from ``after`` on without a hole (``after`` itself if not at all)."""
    reached = after
    for found in archived_ranges(objects, partition):
        if found.after > reached:
            break
        reached = max(reached, found.last)
    return reached


def archived_on(objects: ObjectStore, partition: int, reached: Position) -> Position:
    """How far objects lead on from ``reached``, each beginning where one before ended; no others are listed.

    Raises:
        FormatError: if an object under the archive's path has another kind of name.
    """
    while True:
        paths = objects.list(keys.archive_objects_behind(partition, str(reached)))
        ends = [_parse_range(path).last for path in paths]
        if not ends:
            return reached
        reached = max(ends)


def read_archive(objects: ObjectStore, partition: int, after: Position) -> Iterator[LogEntry]:
    """Archived entries behind ``after``, ascending, each position once; holes are passed over.

    Raises:
        FormatError: if an object is damaged.
        UnavailableError: if the object store did not answer.
    """
    reached = after
    for found in archived_ranges(objects, partition):
        if found.last > reached:
            yield from (entry for entry in read_range(objects, found, partition) if entry.position > reached)
            reached = found.last


def read_range(objects: ObjectStore, found: ArchivedRange, partition: int) -> tuple[LogEntry, ...]:
    """All entries of one archive object, ascending; at least the last.

    Raises:
        FormatError: if the object is damaged, or is not of that partition and range.
        UnavailableError: if the object store did not answer.
    """
    entries = tuple(_decode(objects.get(found.path), found.path))
    strangers = {entry.partition for entry in entries} - {partition}
    if strangers:
        message = f"archive object {found.path!r} holds an entry of partition {min(strangers)}"
        raise FormatError(message)
    if not entries or entries[-1].position != found.last or entries[0].position <= found.after:
        message = f"archive object {found.path!r} does not hold the range of its name: move it away"
        raise FormatError(message)
    return entries


def trim_safely(
    log: EventLog,
    partition: int,
    *,
    restart_ms: Iterable[int],
    archived: Position,
    others: Iterable[Position] = (),
) -> int:
    """Trim a partition below everything that anyone still needs (design, idea 9); returns how many entries.

    ``restart_ms`` are the restart positions of all live lineages, ``archived`` how far the archive reaches
    without a hole, ``others`` the positions of other registered readers.
    """
    below = min([archived, *(Position(max(0, moment), 0) for moment in restart_ms), *others])
    return log.trim(partition, below)


def _encode(entries: Sequence[LogEntry]) -> bytes:
    table = pa.Table.from_arrays(
        [
            pa.array([entry.partition for entry in entries], pa.int32()),
            pa.array([entry.position.append_ms for entry in entries], pa.int64()),
            pa.array([entry.position.sequence for entry in entries], pa.int64()),
            pa.array([entry.blob for entry in entries], pa.binary()),
        ],
        schema=_SCHEMA,
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _decode(data: bytes, path: str) -> Iterator[LogEntry]:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        schema = file.schema_arrow
        if not schema.equals(_SCHEMA) or (schema.metadata or {}).get(b"format") != ARCHIVE_FORMAT.encode():
            message = f"archive object {path!r} is not of format {ARCHIVE_FORMAT!r}"
            raise FormatError(message)
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            columns = (column.to_pylist() for column in batch.columns)
            for partition, append_ms, sequence, blob in zip(*columns, strict=True):
                yield LogEntry(partition, Position(append_ms, sequence), blob)
    except (pa.ArrowException, OSError) as error:
        message = f"archive object {path!r} of {len(data)} bytes is damaged: {error}"
        raise FormatError(message) from error


def _parse_range(path: str) -> ArchivedRange:
    after, _, last = path.rpartition("/")[2].removesuffix(".parquet").partition("_")
    try:
        return ArchivedRange(Position.parse(after), Position.parse(last), path)
    except ValueError as error:
        message = f"archive object {path!r} is not named by a range of positions: move it away"
        raise FormatError(message) from error


def _require_order(after: Position, entries: Sequence[LogEntry]) -> None:
    reached = after
    for entry in entries:
        if entry.position <= reached:
            message = f"log entry {entry.position} of partition {entry.partition} follows {reached}: keep log order"
            raise InvalidInputError(message)
        reached = entry.position
