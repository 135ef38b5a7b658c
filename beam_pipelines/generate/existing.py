"""What exists: creatives that have both a manifest row and a picture, 17 bytes each, shared by all workers.

Ids are 16 bytes and sorted, so that they are found by bisection in files that are only mapped into memory.
"""

import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from beam_pipelines.generate.creative_ids import ID, Ids, located, packed
from beam_pipelines.generate.parts import read_parts
from stores import FileObjectStore, ObjectStore

MISSING, PASSED, FLAGGED = 0, 1, 2
PICTURES = "creatives/"
# A part stays well below the largest object.
MOST_PER_PART = 8_000_000
_ROW = ID.itemsize + 1
_THREADS = 16
_NAME = re.compile("[0-9a-f]{32}")

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Existing:
    """Sorted ids S16[n] and their flags bool[n], in parts of ascending ranges."""

    parts: tuple[tuple[Ids, Flags], ...]

    def __len__(self) -> int:
        return sum(len(ids) for ids, _ in self.parts)

    def states(self, creative_ids: Sequence[str]) -> NDArray[np.uint8]:
        """``MISSING``, ``PASSED`` or ``FLAGGED`` for each id (32 hex digits), u8[n]."""
        wanted = packed(creative_ids)
        states = np.zeros(len(wanted), np.uint8)
        for ids, flags in self.parts:
            at, found = located(ids, wanted)
            states[found] = np.where(flags[at[found]], FLAGGED, PASSED)
        return states


def gather(objects: ObjectStore) -> Existing:
    """Read it from manifest and pictures; what any row of a creative refuses is refused (``manifest.better``).

    Raises:
        StoreError: if the object store fails.
    """
    ids, flags = _manifest(objects)
    # Both are sorted alike, so pictures are listed and compared a folder at a time.
    folders = _folders(ids)
    with ThreadPoolExecutor(_THREADS) as threads:
        kept = [np.empty(0, np.int64), *threads.map(lambda folder: _with_picture(objects, ids, folder), folders)]
    chosen = np.concatenate(kept)
    ids, flags = ids[chosen], flags[chosen]
    starts = range(0, len(ids), MOST_PER_PART)
    return Existing(tuple((ids[at : at + MOST_PER_PART], flags[at : at + MOST_PER_PART]) for at in starts))


def write_existing(existing: Existing, plans: ObjectStore, prefix: str) -> tuple[str, ...]:
    """Write the parts as objects; returns their paths."""
    paths = []
    for number, (ids, flags) in enumerate(existing.parts):
        paths.append(f"{prefix}existing-{number}")
        plans.put(paths[-1], ids.tobytes() + flags.tobytes())
    return tuple(paths)


def open_existing(plans: ObjectStore, paths: Iterable[str]) -> Existing:
    """Map the parts into memory: workers of a machine share its pages where the objects are files."""
    return Existing(tuple(_mapped(plans, path) for path in paths))


def _mapped(plans: ObjectStore, path: str) -> tuple[Ids, Flags]:
    if isinstance(plans, FileObjectStore):
        whole: Any = np.memmap(plans.root / path, np.uint8, "r")
    else:
        # Removed at once, it stays as long as it is mapped.
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(plans.get(path))
            whole = np.memmap(file.name, np.uint8, "r")
    size = len(whole) // _ROW * ID.itemsize
    return whole[:size].view(ID), whole[size:].view(np.bool_)


def _manifest(objects: ObjectStore) -> tuple[Ids, Flags]:
    """All rows, each id once, ascending."""
    parts = [(np.empty(0, ID), np.empty(0, np.bool_)), *read_parts(objects, _part)]
    ids, flags = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(ids, kind="stable")
    ids, flags = ids[order], flags[order]
    first = np.append(True, ids[1:] != ids[:-1])[: len(ids)]
    return ids[first], np.logical_or.reduceat(flags, np.flatnonzero(first)) if len(ids) else flags


def _part(data: bytes) -> tuple[Ids, Flags]:
    table = pq.read_table(io.BytesIO(data), columns=["creative_id", "flagged"], use_threads=False)
    return packed(table.column("creative_id").to_pylist()), np.asarray(table.column("flagged").to_pylist(), np.bool_)


def _folders(ids: Ids) -> list[str]:
    """First bytes of the ids as hex, each once: the folders their pictures are in."""
    return [f"{first:02x}" for first in np.unique(ids.view(np.uint8)[:: ID.itemsize])]


def _with_picture(objects: ObjectStore, ids: Ids, folder: str) -> NDArray[np.int64]:
    """Indices of the ids in a folder whose picture is there."""
    low = int(np.searchsorted(ids, _edge(folder)))
    high = len(ids) if folder == "ff" else int(np.searchsorted(ids, _edge(f"{int(folder, 16) + 1:02x}")))
    there = np.unique(packed(list(_names(objects.list(f"{PICTURES}{folder}/")))))
    return low + np.flatnonzero(np.isin(ids[low:high], there))


def _names(paths: Iterable[str]) -> Iterator[str]:
    names = (path.rpartition("/")[2].partition(".")[0] for path in paths)
    # Whatever else someone has put there is no picture of ours.
    return (name for name in names if _NAME.fullmatch(name))


def _edge(folder: str) -> bytes:
    return bytes.fromhex(folder)
