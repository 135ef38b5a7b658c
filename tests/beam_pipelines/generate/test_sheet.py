import io
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from beam_pipelines.generate import Progress, progress_bar, sheet_of
from beam_pipelines.generate.manifest import ManifestRow, path_of, write_part
from contracts import InvalidInputError
from generation import Creative, ProceduralBackend, Verdict, encode, specs_of
from stores import FileObjectStore
from tests.generation.studio import PROMPTS, SLOTS, photo_pixels, product


def test_a_sheet_shows_every_arm_of_every_product(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    rows = []
    for item in ("stool", "chair"):
        for spec in specs_of(product(item), "ab" * 32, PROMPTS, SLOTS, ProceduralBackend()):
            data = encode(photo_pixels(spec.width, spec.height), "jpeg")
            objects.put_if_absent(path_of(spec), data)
            rows.append(ManifestRow.of(Creative(spec, data, Verdict((), {}), 0)))
    write_part(objects, rows)
    with Image.open(io.BytesIO(sheet_of(objects, "square", arms=2, cell_width=100))) as sheet:
        assert sheet.size == (3 * 112 + 12, 2 * 132 + 12)
    with Image.open(io.BytesIO(sheet_of(objects, "banner", items=["chair"], arms=2, cell_width=100))) as sheet:
        assert sheet.size == (3 * 112 + 12, 62 + 12)
    with pytest.raises(InvalidInputError, match="run generate first"):
        sheet_of(objects, "story")


def test_the_bar_shows_the_phase() -> None:
    out = io.StringIO()
    with progress_bar(Console(file=out, force_terminal=True, width=80)) as show:
        show(Progress(0, 0, "planning"))
        show(Progress(3, 12, "rendering"))
    assert "rendering" in out.getvalue()
