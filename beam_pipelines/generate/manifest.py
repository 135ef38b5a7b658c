"""The manifest: which creatives exist and what the gate said, as Parquet parts in the object store."""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from contracts import CreativeSpec, keys, seed_of
from generation import Creative, file_format
from stores import ObjectStore

MANIFEST_PREFIX = "manifest/"
DEAD_PREFIX = "dead-letters/generate/"

_SCHEMA = pa.schema(
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


def write_part(objects: ObjectStore, rows: Sequence[ManifestRow]) -> str:
    """Write rows as one Parquet part, named by what it holds: writing it again changes nothing."""
    ordered = sorted(rows, key=lambda row: row.creative_id)
    plain = [{name: getattr(row, name) for name in _SCHEMA.names} for row in ordered]
    digest = _digest(f"{row.creative_id}:{row.attempt}" for row in ordered)
    path = f"{MANIFEST_PREFIX}{digest}.parquet"
    objects.put_if_absent(path, _parquet(plain, _SCHEMA), "application/vnd.apache.parquet")
    return path


def read_manifest(objects: ObjectStore) -> dict[str, ManifestRow]:
    """All rows of all parts by creative id; a creative that several parts name counts once."""
    return {row.creative_id: row for row in _rows(objects)}


def each_row(objects: ObjectStore) -> Iterator[ManifestRow]:
    """All rows part by part, a creative once; of all that went before, only the ids are kept in memory."""
    seen: set[bytes] = set()
    for row in _rows(objects):
        short = bytes.fromhex(row.creative_id)
        if short not in seen:
            seen.add(short)
            yield row


def _rows(objects: ObjectStore) -> Iterator[ManifestRow]:
    for path in objects.list(MANIFEST_PREFIX):
        for plain in pq.read_table(io.BytesIO(objects.get(path)), schema=_SCHEMA).to_pylist():
            yield ManifestRow(**{**plain, "reasons": tuple(plain["reasons"])})


def write_dead(objects: ObjectStore, rows: Sequence[DeadLetterRow]) -> str:
    """Write dead letters as one Parquet part, named by what it holds."""
    plain = [{name: getattr(row, name) for name in _DEAD_SCHEMA.names} for row in rows]
    digest = _digest(f"{row.item_id}:{row.reason}:{row.detail}" for row in rows)
    path = f"{DEAD_PREFIX}{digest}.parquet"
    objects.put_if_absent(path, _parquet(plain, _DEAD_SCHEMA), "application/vnd.apache.parquet")
    return path


def read_dead(objects: ObjectStore) -> Iterator[DeadLetterRow]:
    """All dead letters of all runs, equal ones once a part."""
    for path in objects.list(DEAD_PREFIX):
        for plain in pq.read_table(io.BytesIO(objects.get(path)), schema=_DEAD_SCHEMA).to_pylist():
            yield DeadLetterRow(**plain)


def _parquet(rows: list[dict[str, object]], schema: pa.Schema) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out, compression="zstd")
    return out.getvalue()


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
