"""Rows of a catalogue file, whatever its format: Parquet, CSV, TSV, JSON lines, or a Google Merchant XML feed.

Rows are streamed. Columns are named as Backdrop names them; those of Google's product data specification
(``id``, ``image_link``, …, with or without ``g:``) are taken for them.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq

from contracts import InvalidInputError
from generation.feed_xml import xml_rows

MAX_ROW_BYTES = 1 << 20
_BATCH = 4_096
_ALIASES: Mapping[str, str] = MappingProxyType({"id": "item_id", "image_link": "image_uri", "image_url": "image_uri"})
_NEEDED = ("item_id", "title", "price", "image_uri")
CATEGORY_COLUMNS = ("category", "product_type", "google_product_category")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A place in the file that holds no row: ``where`` names it, ``detail`` says what is wrong with it."""

    where: str
    detail: str


Row = Mapping[str, object]


def read_rows(path: Path) -> Iterator[Row | BadRow]:
    """Rows of the file at ``path`` in order, its format told by its suffix; a broken one is a ``BadRow``.

    Suffixes: ``.parquet``, ``.csv``, ``.tsv`` and ``.txt`` (tabs), ``.jsonl`` and ``.ndjson``, ``.xml``.

    Raises:
        InvalidInputError: if the file is missing, is not of its format, or has no column for what is needed.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        message = f"catalogue {path}: suffix {path.suffix!r} is not known, use one of {sorted(_READERS)}"
        raise InvalidInputError(message)
    try:
        yield from reader(path)
    except (OSError, pa.ArrowInvalid) as error:
        message = f"catalogue {path} cannot be read ({error}): check the path, and that it is a {path.suffix} file"
        raise InvalidInputError(message) from error


def _named(name: str) -> str:
    plain = name.strip().lower().removeprefix("g:").replace(" ", "_")
    return _ALIASES.get(plain, plain)


def _require(path: Path, names: list[str]) -> None:
    missing = [name for name in _NEEDED if name not in names]
    if not any(name in names for name in CATEGORY_COLUMNS):
        missing.append(CATEGORY_COLUMNS[0])
    if missing:
        message = f"catalogue {path} lacks the columns {missing}; it has {names}"
        raise InvalidInputError(message)
    twice = sorted(name for name in _NEEDED if names.count(name) > 1)
    if twice:
        message = f"catalogue {path} has several columns for {twice}: leave one"
        raise InvalidInputError(message)


def _parquet(path: Path) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        names = [_named(name) for name in file.schema_arrow.names]
        _require(path, names)
        for batch in file.iter_batches(batch_size=_BATCH):
            yield from batch.rename_columns(names).to_pylist()


def _csv(path: Path) -> Iterator[Row | BadRow]:
    return _separated(path, ",")


def _tsv(path: Path) -> Iterator[Row | BadRow]:
    return _separated(path, "\t")


def _separated(path: Path, delimiter: str) -> Iterator[Row | BadRow]:
    # Strict: a quote that is never closed must not swallow the rows behind it in silence.
    reader = csv.reader(_text_lines(path), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            break
        except (csv.Error, _LineError) as error:
            if names is None:
                message = f"catalogue {path}: its first line is no header ({error})"
                raise InvalidInputError(message) from error
            yield BadRow(f"line {reader.line_num}", str(error))
            continue
        if names is None:
            names = [_named(name) for name in fields]
            _require(path, names)
        elif len(fields) == len(names):
            yield dict(zip(names, fields, strict=True))
        elif fields:
            yield BadRow(f"line {reader.line_num}", f"it has {len(fields)} fields, the header has {len(names)}")
    if names is None:
        message = f"catalogue {path} is empty: its first line must name the columns"
        raise InvalidInputError(message)


def _json_lines(path: Path) -> Iterator[Row | BadRow]:
    lines, number = _text_lines(path), 0
    while True:
        number += 1
        try:
            line = next(lines)
            plain = json.loads(line) if line.strip() else None
        except StopIteration:
            return
        except (_LineError, ValueError, RecursionError) as error:
            yield BadRow(f"line {number}", str(error)[:200])
            continue
        if isinstance(plain, dict):
            yield {_named(name): value for name, value in plain.items()}
        elif line.strip():
            yield BadRow(f"line {number}", f"it is {line.strip()[:60]!r}, not a JSON object")


def _xml(path: Path) -> Iterator[Row | BadRow]:
    for row in xml_rows(path, MAX_ROW_BYTES):
        yield {_named(name): value for name, value in row.items()}


class _LineError(ValueError):
    """A line that cannot be taken as text."""


@dataclass(slots=True)
class _TextLines:
    """Lines of a UTF-8 file; one that is too long or not UTF-8 raises, the next call goes on behind it."""

    lines: Iterator[bytes]
    first: bool = True

    def __iter__(self) -> "_TextLines":
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        if self.first:
            self.first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) > MAX_ROW_BYTES:
            message = f"it is longer than {MAX_ROW_BYTES} bytes"
            raise _LineError(message)
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            message = f"it is not UTF-8 (byte {line[error.start]:#04x} at {error.start})"
            raise _LineError(message) from error


def _text_lines(path: Path) -> _TextLines:
    return _TextLines(_bounded_lines(path))


def _bounded_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file; of one that is too long only the beginning, so that no line fills the memory."""
    with path.open("rb") as file:
        while line := file.readline(MAX_ROW_BYTES + 1):
            yield line
            while len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
                line = file.readline(MAX_ROW_BYTES + 1)


_READERS: Mapping[str, Callable[[Path], Iterator[Row | BadRow]]] = MappingProxyType(
    {
        ".parquet": _parquet,
        ".csv": _csv,
        ".tsv": _tsv,
        ".txt": _tsv,
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".xml": _xml,
    }
)
