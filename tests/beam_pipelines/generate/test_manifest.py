from pathlib import Path
from types import MappingProxyType

from beam_pipelines.generate.manifest import (
    DeadLetterRow,
    ManifestRow,
    read_dead,
    read_manifest,
    write_dead,
    write_part,
)
from generation import Creative, ProceduralBackend, Verdict, specs_of
from stores import FileObjectStore
from tests.generation.studio import PROMPTS, SLOTS, product

SPECS = specs_of(product(), "ab" * 32, PROMPTS, SLOTS, ProceduralBackend())
VERDICT = Verdict(("halo",), MappingProxyType({"halo": 20.5}))
ROWS = [ManifestRow.of(Creative(spec, b"jpeg", VERDICT, 2)) for spec in SPECS]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    write_part(objects, ROWS[:4])
    write_part(objects, ROWS[4:])
    assert read_manifest(objects) == {row.creative_id: row for row in ROWS}
    assert ROWS[0].flagged
    assert ROWS[0].path.startswith("creatives/")


def test_writing_again_in_any_order_changes_nothing(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    path = write_part(objects, ROWS)
    before = objects.get(path)
    assert write_part(objects, ROWS[::-1]) == path
    assert list(objects.list("manifest/")) == [path]
    assert objects.get(path) == before


def test_overlapping_parts_count_a_creative_once(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    write_part(objects, ROWS[:5])
    write_part(objects, ROWS[3:])
    assert len(read_manifest(objects)) == len(ROWS)


def test_dead_letters_are_kept(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    rows = [DeadLetterRow("a", "bad_image", "damaged"), DeadLetterRow("b", "bad_price", "nan")]
    assert write_dead(objects, rows) == write_dead(objects, rows)
    assert list(read_dead(objects)) == rows
