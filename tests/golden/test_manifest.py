"""A manifest part written once is read for ever, whatever small and merged parts are called."""

from pathlib import Path

from beam_pipelines.generate.manifest import ManifestRow, each_row, read_manifest
from stores import FileObjectStore
from tests.golden.examples import FOLDER

ROWS = [
    ManifestRow(
        creative_id=digits * 16,
        item_id="stool",
        category="seating",
        arm=arm,
        placement="square",
        width=120,
        height=80,
        path=f"creatives/{digits}/{digits * 16}.jpg",
        bytes=1234 + number,
        attempt=2 * number,
        flagged=bool(number),
        reasons=("halo", "size") if number else (),
        numbers='{"halo": 20.5}',
        text="on oak × maple",
        negative="",
        tags='{"surface": "oak"}',
        backend="procedural",
        recipe="r1",
        image_sha256="ab" * 32,
    )
    for number, (digits, arm) in enumerate((("00", "original"), ("ff", "oak")))
]


def test_manifest_part(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    data = (FOLDER / "manifest-1.parquet").read_bytes()
    # As the first version named it, and as upkeep does.
    for path in ("manifest/122db57260858153aa0da35574bdbba7.parquet", f"manifest/merged/{'0' * 32}.parquet"):
        objects.put(path, data)
        assert read_manifest(objects) == {row.creative_id: row for row in ROWS}
        assert sorted(each_row(objects), key=ROWS.index) == ROWS
