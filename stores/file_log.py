"""The event log on files: for tests and for runs without Redis; not made for speed.

A partition is one file of records (header, blob) in position order, and beside it the last position ever given
and the trim mark. A lock on the folder makes every call atomic, also between processes.
"""

import fcntl
import json
import os
import struct
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from contracts import (
    ORIGIN,
    Clock,
    FormatError,
    InvalidInputError,
    LogEntry,
    LogRead,
    Position,
    UnavailableError,
)

MAX_ENTRY_BYTES = 64 * 1024 * 1024

# append_ms, sequence, length of the blob, CRC-32 of the blob.
_HEADER = struct.Struct("<qqII")


@dataclass(frozen=True, slots=True)
class _Marks:
    last: Position
    trimmed: Position


@dataclass(frozen=True, slots=True)
class _Index:
    """Where the entries of one file begin, as of a trim mark (trimming rewrites); ``end`` is behind the last."""

    trimmed: Position
    end: int
    positions: tuple[Position, ...]
    offsets: tuple[int, ...]


_EMPTY = _Index(ORIGIN, 0, (), ())


class FileEventLog:
    """``EventLog`` in a folder; entries are at most ``MAX_ENTRY_BYTES`` long and synced before append returns."""

    def __init__(self, folder: Path, clock: Clock, partitions: int = 4, *, sync: bool = True) -> None:
        """Use ``folder`` (made if absent); ``clock`` is the log's own clock, ``sync`` False trusts the page cache.

        Raises:
            InvalidInputError: if ``partitions`` is below 1.
            UnavailableError: if the folder cannot be made.
        """
        if partitions < 1:
            message = f"partitions = {partitions}: must be at least 1"
            raise InvalidInputError(message)
        self._folder = folder
        self._clock = clock
        self._partitions = partitions
        self._sync = sync
        self._indexes: dict[int, _Index] = {}
        with _file_errors("open"):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return self._partitions

    def append(self, partition: int, blobs: Sequence[bytes]) -> tuple[Position, ...]:
        """Append blobs in order; returns their positions when they are on the disk.

        Raises:
            InvalidInputError: if the partition does not exist or a blob is too long.
            UnavailableError: if the folder cannot be written.
        """
        path = self._path(partition)
        for blob in blobs:
            if len(blob) > MAX_ENTRY_BYTES:
                message = f"log entry has {len(blob)} bytes, the limit is {MAX_ENTRY_BYTES}: append smaller batches"
                raise InvalidInputError(message)
        if not blobs:
            return ()
        with self._locked("append to"):
            marks = self._marks(partition)
            index = self._index(partition, marks)
            last = index.positions[-1] if index.positions else marks.last
            positions: list[Position] = []
            records: list[bytes] = []
            for blob in blobs:
                last = _next(last, self._clock.now_ms())
                positions.append(last)
                records.append(_record(last, blob))
            with path.open("ab") as file:
                # A crash may have left half a record behind the last whole one.
                file.truncate(index.end)
                file.write(b"".join(records))
                self._flush(file)
        return tuple(positions)

    def read(self, partition: int, after: Position, limit: int) -> LogRead:
        """Up to ``limit`` entries behind ``after``, with the log's clock of the same instant.

        Raises:
            InvalidInputError: if the partition does not exist or ``limit`` is below 1.
            FormatError: if a record is damaged.
            UnavailableError: if the folder cannot be read; there is then no clock either.
        """
        if limit < 1:
            message = f"limit = {limit}: must be at least 1"
            raise InvalidInputError(message)
        path = self._path(partition)
        with self._locked("read"):
            index = self._index(partition, self._marks(partition))
            start = bisect_right(index.positions, after)
            entries = tuple(_entries(path, partition, index, start, start + limit))
            newest = index.positions[-1].append_ms if index.positions else 0
            return LogRead(entries, max(self._clock.now_ms(), newest))

    def first(self, partition: int) -> Position | None:
        """Position of the oldest entry kept, or None if there is none."""
        self._path(partition)
        with self._locked("read"):
            index = self._index(partition, self._marks(partition))
            return index.positions[0] if index.positions else None

    def last(self, partition: int) -> Position:
        """Position of the newest entry ever appended (``ORIGIN`` if none), though it may be trimmed."""
        self._path(partition)
        with self._locked("read"):
            marks = self._marks(partition)
            index = self._index(partition, marks)
            return index.positions[-1] if index.positions else marks.last

    def trimmed(self, partition: int) -> Position:
        """Position below which entries may be gone (``ORIGIN`` if nothing was ever trimmed)."""
        self._path(partition)
        with self._locked("read"):
            return self._marks(partition).trimmed

    def trim(self, partition: int, below: Position) -> int:
        """Forget entries whose position is below ``below``; returns how many."""
        path = self._path(partition)
        with self._locked("trim"):
            marks = self._marks(partition)
            index = self._index(partition, marks)
            gone = bisect_left(index.positions, below)
            if gone == 0:
                return 0
            # The mark first: a crash in between leaves more entries than it promises, never fewer.
            mark = Position(index.positions[gone - 1].append_ms, index.positions[gone - 1].sequence + 1)
            self._replace(self._marks_path(partition), _marks_json(_Marks(index.positions[-1], mark)))
            kept = _entries(path, partition, index, gone, None)
            self._replace(path, b"".join(_record(entry.position, entry.blob) for entry in kept))
            return gone

    def _path(self, partition: int) -> Path:
        if not 0 <= partition < self._partitions:
            message = f"partition {partition} does not exist: the log has partitions 0 to {self._partitions - 1}"
            raise InvalidInputError(message)
        return self._folder / f"{partition}.log"

    def _marks_path(self, partition: int) -> Path:
        return self._folder / f"{partition}.json"

    def _marks(self, partition: int) -> _Marks:
        path = self._marks_path(partition)
        if not path.exists():
            return _Marks(ORIGIN, ORIGIN)
        try:
            plain = json.loads(path.read_bytes())
            return _Marks(Position.parse(plain["last"]), Position.parse(plain["trimmed"]))
        except (ValueError, KeyError, TypeError) as error:
            message = f"{path} is damaged: {error!r}"
            raise FormatError(message) from error

    def _index(self, partition: int, marks: _Marks) -> _Index:
        path = self._path(partition)
        if not path.exists():
            return _EMPTY
        known = self._indexes.get(partition, _EMPTY)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if known.trimmed != marks.trimmed or size < known.end:
                known = _Index(marks.trimmed, 0, (), ())
            positions, offsets, end = list(known.positions), list(known.offsets), known.end
            while end + _HEADER.size <= size:
                file.seek(end)
                append_ms, sequence, length, _ = _HEADER.unpack(file.read(_HEADER.size))
                if end + _HEADER.size + length > size:
                    break
                positions.append(Position(append_ms, sequence))
                offsets.append(end)
                end += _HEADER.size + length
        if end != known.end or known.trimmed != marks.trimmed:
            known = _Index(marks.trimmed, end, tuple(positions), tuple(offsets))
        self._indexes[partition] = known
        return known

    def _replace(self, path: Path, data: bytes) -> None:
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(data)
            self._flush(file)
        partial.replace(path)

    def _flush(self, file: BinaryIO) -> None:
        file.flush()
        if self._sync:
            os.fsync(file.fileno())

    @contextmanager
    def _locked(self, doing: str) -> Iterator[None]:
        with _file_errors(doing):
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)


def _next(last: Position, now_ms: int) -> Position:
    """Position of an entry appended now: a clock that steps back makes the millisecond stand still."""
    if now_ms > last.append_ms:
        return Position(now_ms, 0)
    return Position(last.append_ms, last.sequence + 1)


def _record(position: Position, blob: bytes) -> bytes:
    return _HEADER.pack(position.append_ms, position.sequence, len(blob), zlib.crc32(blob)) + blob


def _entries(path: Path, partition: int, index: _Index, start: int, stop: int | None) -> Iterator[LogEntry]:
    wanted = list(zip(index.positions[start:stop], index.offsets[start:stop], strict=True))
    if not wanted:
        return
    with path.open("rb") as file:
        for position, offset in wanted:
            file.seek(offset)
            _, _, length, checksum = _HEADER.unpack(file.read(_HEADER.size))
            blob = file.read(length)
            if len(blob) != length or zlib.crc32(blob) != checksum:
                message = f"record {position} in {path} is damaged: restore the file or move it away"
                raise FormatError(message)
            yield LogEntry(partition, position, blob)


def _marks_json(marks: _Marks) -> bytes:
    return json.dumps({"last": str(marks.last), "trimmed": str(marks.trimmed)}).encode()


@contextmanager
def _file_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"could not {doing} the event log on files: {error}: check its folder"
        raise UnavailableError(message) from error
