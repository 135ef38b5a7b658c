"""What runs have left: objects, rows, creative index; and what must hold of it, whenever a run ended."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from beam_pipelines.generate import GenerateConfig, GenerateReport
from beam_pipelines.generate.existing import gather
from beam_pipelines.generate.manifest import ManifestRow, each_row, read_manifest
from contracts import CreativeRef
from stores import CreativeIndex, FileObjectStore

_KINDS = ("creatives/", "cutouts/", "dead-letters/")


@dataclass(frozen=True, slots=True)
class Shelf:
    """A store as it is: ``stored`` by path with bytes, and (inode, time) of each picture; rows; index by slot."""

    stored: dict[str, bytes]
    written: dict[str, tuple[int, int]]
    rows: dict[str, ManifestRow]
    index: dict[tuple[str, str], dict[str, CreativeRef]]
    existing: int

    @classmethod
    def of(cls, config: GenerateConfig, client: redis.Redis, slots: tuple[tuple[str, str], ...]) -> "Shelf":
        """Look at it."""
        objects = FileObjectStore(Path(config.objects_uri))
        paths = [path for kind in _KINDS for path in objects.list(kind)]
        status = {path: (objects.root / path).stat() for path in paths}
        index = CreativeIndex(client)
        return cls(
            {path: objects.get(path) for path in paths},
            {path: (found.st_ino, found.st_mtime_ns) for path, found in status.items()},
            read_manifest(objects),
            {slot: found for slot in slots if (found := index.read(*slot))},
            len(gather(objects)),
        )

    @property
    def pictures(self) -> int:
        """How many pictures are stored."""
        return sum(path.startswith("creatives/") for path in self.stored)


def faults_of_rest(config: GenerateConfig, found: Shelf, whole: Shelf) -> Iterator[str]:
    """What is wrong with a store in which a run was ended, beside that of a run that was not."""
    for path, data in found.stored.items():
        if whole.stored.get(path) != data:
            yield f"{path} is not what a whole run writes"
    for name, row in found.rows.items():
        if whole.rows.get(name) != row:
            yield f"row {name} is not a whole run's"
        if row.path not in found.stored:
            yield f"row {name} has no picture"
    for slot, refs in found.index.items():
        for arm, ref in refs.items():
            if whole.index[slot].get(arm) != ref or ref.creative_id not in found.rows:
                yield f"the index shows {arm} of {slot}, which has no row or is not a whole run's"
    rows = list(each_row(FileObjectStore(Path(config.objects_uri))))
    if len(rows) != len(found.rows) or {row.creative_id: row for row in rows} != found.rows:
        yield "two readers of the manifest disagree"


def faults_of_end(before: Shelf, after: Shelf, whole: Shelf, report: GenerateReport) -> Iterator[str]:
    """What is wrong with a store after the run that finished it."""
    if after.stored != whole.stored:
        yield f"{len(after.stored)} objects are not the {len(whole.stored)} of a whole run"
    if after.rows != whole.rows:
        yield f"{len(after.rows)} rows are not the {len(whole.rows)} of a whole run"
    if after.index != whole.index:
        yield "the creative index is not a whole run's"
    for path, written in before.written.items():
        if after.written.get(path) != written:
            yield f"{path} was written again"
    if report.planned != whole.pictures - before.existing:
        yield f"{report.planned} pictures were painted, {whole.pictures - before.existing} had no picture with a row"
    if report.made != whole.pictures - before.pictures:
        yield f"{report.made} pictures were made, {whole.pictures - before.pictures} were not stored"


def report_in(folder: Path) -> GenerateReport:
    """What a run said.

    Raises:
        FileNotFoundError: if it ended before it could say anything.
    """
    return GenerateReport.from_json(json.dumps(json.loads((folder / "report.json").read_text())))
