"""Upkeep of the manifest: many small parts become few large ones; no row is ever out of reach while they do."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from beam_pipelines.generate.manifest import parquet_of, table_of, without_repeats
from beam_pipelines.generate.parts import MERGED_PREFIX, fetched, small_parts, write_named
from contracts import MissingObjectError
from stores import ObjectStore

# Fewer small parts than that are no burden; at least so many make a merged one.
ENOUGH = 64
_REMOVED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Size:
    """How large a merged part may grow: memory holds a few times ``bytes`` (Arrow's, several times the file's)."""

    rows: int = 65_536
    bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did: ``small`` parts were replaced by ``large`` ones."""

    small: int = 0
    large: int = 0


def merge_parts(objects: ObjectStore, *, enough: int = ENOUGH, size: Size | None = None) -> Merged:
    """Merge all small parts if there are ``enough``; a merged part is stored before what it replaces is removed.

    It may end anywhere, and run beside others, runs and readers: rows are then in two parts, never in none.

    Raises:
        StoreError: if the object store fails.
    """
    paths, size = small_parts(objects), size or Size()
    if len(paths) < enough:
        return Merged()
    small = large = rows = held = 0
    group: list[tuple[str, pa.Table]] = []
    for path, table in fetched(objects, paths, table_of):
        # Gone: another run has merged it.
        if not isinstance(table, MissingObjectError):
            group.append((path, table))
            rows, held = rows + table.num_rows, held + table.nbytes
        if rows >= size.rows or held >= size.bytes:
            _replace(objects, group)
            small, large, rows, held, group = small + len(group), large + 1, 0, 0, []
    if group:
        _replace(objects, group)
        small, large = small + len(group), large + 1
    return Merged(small, large)


def _replace(objects: ObjectStore, group: Sequence[tuple[str, pa.Table]]) -> None:
    table = without_repeats(pa.concat_tables([table for _, table in group]))
    write_named(objects, MERGED_PREFIX, parquet_of(table))
    with ThreadPoolExecutor(_REMOVED_AT_ONCE) as threads:
        list(threads.map(objects.remove, [path for path, _ in group]))
