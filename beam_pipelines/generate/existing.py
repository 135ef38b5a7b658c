"""What exists: creatives that have both a manifest row and a picture, 17 bytes each, shared by all workers.

Ids are 16 bytes and sorted, so that they are found by bisection in files that are only mapped into memory.
"""

import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from beam_pipelines.generate.manifest import MANIFEST_PREFIX
from stores import FileObjectStore, ObjectStore

MISSING, PASSED, FLAGGED = 0, 1, 2
PICTURES = "creatives/"
# A part stays well below the largest object.
MOST_PER_PART = 8_000_000
_ID = np.dtype("S16")
_ROW = _ID.itemsize + 1
_THREADS = 16
_PARTS_AT_ONCE = 1_024
_NAME = re.compile("[0-9a-f]{32}")

Ids = NDArray[np.bytes_]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Existing:
    """Sorted ids S16[n] and their flags bool[n], in parts of ascending ranges."""

    parts: tuple[tuple[Ids, Flags], ...]

    def __len__(self) -> int:
        return sum(len(ids) for ids, _ in self.parts)

    def states(self, creative_ids: Sequence[str]) -> NDArray[np.uint8]:
        """``MISSING``, ``PASSED`` or ``FLAGGED`` for each id (32 hex digits), u8[n]."""
        wanted = _packed(creative_ids)
        states = np.zeros(len(wanted), np.uint8)
        for ids, flags in self.parts:
            at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
            found = ids[at] == wanted
            states[found] = np.where(flags[at[found]], FLAGGED, PASSED)
        return states


def gather(objects: ObjectStore) -> Existing:
    """Read it from manifest and pictures; a creative that several parts name counts as the last of them says.

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
    size = len(whole) // _ROW * _ID.itemsize
    return whole[:size].view(_ID), whole[size:].view(np.bool_)


def _manifest(objects: ObjectStore) -> tuple[Ids, Flags]:
    """All rows, each id once, ascending."""
    parts: list[tuple[Ids, Flags]] = [(np.empty(0, _ID), np.empty(0, np.bool_))]
    paths = iter(objects.list(MANIFEST_PREFIX))
    with ThreadPoolExecutor(_THREADS) as threads:
        # So many at a time: what waits for a thread takes memory, too.
        while some := list(islice(paths, _PARTS_AT_ONCE)):
            parts += threads.map(lambda path: _part(objects, path), some)
    ids, flags = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(ids, kind="stable")
    ids, flags = ids[order], flags[order]
    last = np.append(ids[1:] != ids[:-1], True)[: len(ids)]
    return ids[last], flags[last]


def _part(objects: ObjectStore, path: str) -> tuple[Ids, Flags]:
    table = pq.read_table(io.BytesIO(objects.get(path)), columns=["creative_id", "flagged"], use_threads=False)
    return _packed(table.column("creative_id").to_pylist()), np.asarray(table.column("flagged").to_pylist(), np.bool_)


def _folders(ids: Ids) -> list[str]:
    """First bytes of the ids as hex, each once: the folders their pictures are in."""
    return [f"{first:02x}" for first in np.unique(ids.view(np.uint8)[:: _ID.itemsize])]


def _with_picture(objects: ObjectStore, ids: Ids, folder: str) -> NDArray[np.int64]:
    """Indices of the ids in a folder whose picture is there."""
    low = int(np.searchsorted(ids, _edge(folder)))
    high = len(ids) if folder == "ff" else int(np.searchsorted(ids, _edge(f"{int(folder, 16) + 1:02x}")))
    there = np.unique(_packed(list(_names(objects.list(f"{PICTURES}{folder}/")))))
    return low + np.flatnonzero(np.isin(ids[low:high], there))


def _names(paths: Iterable[str]) -> Iterator[str]:
    names = (path.rpartition("/")[2].partition(".")[0] for path in paths)
    # Whatever else someone has put there is no picture of ours.
    return (name for name in names if _NAME.fullmatch(name))


def _edge(folder: str) -> bytes:
    return bytes.fromhex(folder)


def _packed(creative_ids: Sequence[str]) -> Ids:
    return np.frombuffer(bytes.fromhex("".join(creative_ids)), _ID)
