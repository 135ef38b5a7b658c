"""The manifest: which creatives exist and what the gate said, as Parquet parts in the object store."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from beam_pipelines.generate.creative_ids import ID, Ids, located, packed
from beam_pipelines.generate.parts import PARQUET, PREFIX, read_parts, write_named
from contracts import CreativeSpec, keys, seed_of
from generation import FILE_FORMATS, Creative, file_format
from stores import ObjectStore

DEAD_PREFIX = "dead-letters/generate/"
_BATCH = 1_024

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.utf8()) for name in ("creative_id", "item_id", "category", "arm", "placement")),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("path", pa.utf8()),
        pa.field("bytes", pa.int64()),
        pa.field("attempt", pa.int32()),
        pa.field("flagged", pa.bool_()),
        pa.field("reasons", pa.list_(pa.utf8())),
        pa.field("numbers", pa.utf8()),
        *(pa.field(name, pa.utf8()) for name in ("text", "negative", "tags", "backend", "recipe", "image_sha256")),
    ]
)
_DEAD_SCHEMA = pa.schema([pa.field(name, pa.utf8()) for name in ("item_id", "reason", "detail")])


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One creative as the manifest has it; ``numbers`` and ``tags`` are JSON."""

    creative_id: str
    item_id: str
    category: str
    arm: str
    placement: str
    width: int
    height: int
    path: str
    bytes: int
    attempt: int
    flagged: bool
    reasons: tuple[str, ...]
    numbers: str
    text: str
    negative: str
    tags: str
    backend: str
    recipe: str
    image_sha256: str

    @property
    def seed(self) -> int:
        """Seed of the attempt that was kept."""
        return seed_of(self.creative_id, self.attempt)

    @classmethod
    def of(cls, creative: Creative) -> "ManifestRow":
        """The row of a finished creative."""
        spec = creative.spec
        return cls(
            creative_id=spec.creative_id,
            item_id=spec.item_id,
            category=spec.category,
            arm=spec.arm,
            placement=spec.placement,
            width=spec.width,
            height=spec.height,
            path=path_of(spec),
            bytes=len(creative.data),
            attempt=creative.attempt,
            flagged=creative.flagged,
            reasons=creative.verdict.reasons,
            numbers=json.dumps(dict(creative.verdict.numbers), sort_keys=True),
            text=spec.text,
            negative=spec.negative,
            tags=json.dumps(dict(spec.tags), sort_keys=True),
            backend=spec.backend,
            recipe=spec.recipe,
            image_sha256=spec.image_sha256,
        )


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """A product that got no pictures, and why."""

    item_id: str
    reason: str
    detail: str


def path_of(spec: CreativeSpec) -> str:
    """Object path of a spec's picture."""
    return keys.creative_object(spec.creative_id, file_format(spec.format).suffix)


def content_type_of(row: ManifestRow) -> str:
    """What a picture is served as, by its path's suffix."""
    suffix = row.path.rpartition(".")[2]
    return next(form.content_type for form in FILE_FORMATS.values() if form.suffix == suffix)


def write_part(objects: ObjectStore, rows: Sequence[ManifestRow]) -> str:
    """Write rows as one part, named by what it holds: writing it again changes nothing."""
    ordered = sorted(rows, key=lambda row: row.creative_id)
    table = pa.Table.from_pylist([_plain(row) for row in ordered], schema=SCHEMA)
    return write_named(objects, PREFIX, parquet_of(table))


def read_manifest(objects: ObjectStore) -> dict[str, ManifestRow]:
    """All rows by creative id; of several of one creative the one that ``better`` prefers."""
    found: dict[str, ManifestRow] = {}
    for table in read_parts(objects, table_of):
        for row in _rows(table):
            found[row.creative_id] = better(row, found.get(row.creative_id, row))
    return found


def each_row(objects: ObjectStore) -> Iterator[ManifestRow]:
    """The rows of ``read_manifest`` as of now, one by one, in no certain order.

    Memory holds 17 bytes a row, a few parts, and the rows that are there more than once.
    """
    every = [np.empty(0, ID), *read_parts(objects, ids_of)]
    ids, counts = np.unique(np.concatenate(every), return_counts=True)
    # 1: to be given when it is met, 2: there more than once, so not before all of it was seen, 0: given.
    times = np.minimum(counts, 2).astype(np.uint8)
    waiting: dict[str, ManifestRow] = {}
    for table in read_parts(objects, table_of):
        for batch in table.to_batches(_BATCH):
            at, known = located(ids, packed(batch.column("creative_id").to_pylist()))
            for row, index, there in zip(_rows(pa.Table.from_batches([batch])), at, known, strict=True):
                if there and times[index] == 1:
                    times[index] = 0
                    yield row
                elif there and times[index]:
                    waiting[row.creative_id] = better(row, waiting.get(row.creative_id, row))
    yield from waiting.values()


def better(one: ManifestRow, other: ManifestRow) -> ManifestRow:
    """Which of two rows of one creative counts, whatever their order: a refusal, then the earlier attempt.

    Two runs at once may judge a picture differently; nothing is shown that any of them refused.
    """
    return one if one == other else min(one, other, key=_rank)


def table_of(data: bytes) -> pa.Table:
    """The rows of a part's bytes."""
    return pq.read_table(io.BytesIO(data), schema=SCHEMA)


def ids_of(data: bytes) -> Ids:
    """The ids in a part's bytes."""
    table = pq.read_table(io.BytesIO(data), columns=["creative_id"], use_threads=False)
    return packed(table.column("creative_id").to_pylist())


def without_repeats(table: pa.Table) -> pa.Table:
    """The rows ascending by id; of several of one creative the one that ``better`` prefers."""
    ids = packed(table.column("creative_id").to_pylist())
    order = np.argsort(ids, kind="stable")
    first = np.append(True, ids[order][1:] != ids[order][:-1])[: len(ids)]
    chosen = order[first]
    edges = np.append(np.flatnonzero(first), len(ids))
    for number in np.flatnonzero(np.diff(edges) > 1):
        same = order[edges[number] : edges[number + 1]]
        rows = list(_rows(table.take(same)))
        chosen[number] = same[rows.index(reduce(better, rows))]
    return table.take(chosen)


def parquet_of(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _rank(row: ManifestRow) -> tuple[bool, int, str]:
    return not row.flagged, row.attempt, json.dumps(_plain(row), sort_keys=True)


def _rows(table: pa.Table) -> Iterator[ManifestRow]:
    for batch in table.to_batches(_BATCH):
        for plain in batch.to_pylist():
            yield ManifestRow(**{**plain, "reasons": tuple(plain["reasons"])})


def _plain(row: ManifestRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in SCHEMA.names}


def write_dead(objects: ObjectStore, rows: Sequence[DeadLetterRow]) -> str:
    """Write dead letters as one Parquet part, named by its rows: every run writes those of products that stay bad."""
    plain = [{name: getattr(row, name) for name in _DEAD_SCHEMA.names} for row in rows]
    lines = "\n".join(f"{row.item_id}:{row.reason}:{row.detail}" for row in rows)
    path = f"{DEAD_PREFIX}{hashlib.sha256(lines.encode()).hexdigest()[:32]}.parquet"
    objects.put_if_absent(path, parquet_of(pa.Table.from_pylist(plain, schema=_DEAD_SCHEMA)), PARQUET)
    return path


def read_dead(objects: ObjectStore) -> Iterator[DeadLetterRow]:
    """All dead letters of all runs, equal ones once a part."""
    for path in objects.list(DEAD_PREFIX):
        for plain in pq.read_table(io.BytesIO(objects.get(path)), schema=_DEAD_SCHEMA).to_pylist():
            yield DeadLetterRow(**plain)
