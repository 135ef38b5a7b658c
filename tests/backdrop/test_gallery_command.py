from pathlib import Path

import pytest
from typer.testing import CliRunner

from backdrop.cli import app
from backdrop.settings import load_settings
from beam_pipelines.generate.manifest import ManifestRow, path_of, write_part
from contracts import InvalidInputError, Product, SetupError
from generation import Creative, ProceduralBackend, Verdict, encode, iter_catalogue, specs_of
from stores import open_objects
from tests.generation.studio import PROMPTS, SLOTS, photo_pixels


@pytest.fixture
def item(tmp_path: Path) -> Product:
    """A product of the default catalogue, whose creatives lie in the home ``tmp_path``."""
    settings = load_settings(home=tmp_path, redis_url=None)
    categories = ["seating", "kitchen"]
    found = next(row for row in iter_catalogue(settings.generate.catalogue, categories) if isinstance(row, Product))
    objects = open_objects(settings.objects_location)
    rows = []
    for spec in specs_of(found, "ab" * 32, PROMPTS, SLOTS, ProceduralBackend()):
        data = encode(photo_pixels(spec.width, spec.height), spec.format)
        objects.put_if_absent(path_of(spec), data)
        rows.append(ManifestRow.of(Creative(spec, data, Verdict((), {}), 0)))
    write_part(objects, rows)
    return found


def test_the_page_is_written_with_the_catalogues_titles(item: Product, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["gallery", "--home", str(tmp_path), "--out", str(out), "--title", "Spring"])
    assert result.exit_code == 0, result.output
    assert str(out) in result.output.replace("\n", "")
    page = out.read_text("utf-8")
    assert f'"title":"{item.title}"' in page
    assert "<h1>Spring</h1>" in page


def test_what_cannot_be_written_or_shown_is_said(item: Product, tmp_path: Path) -> None:
    nowhere = ["gallery", "--home", str(tmp_path), "--out", str(tmp_path / "no" / "page.html")]
    with pytest.raises(SetupError, match="choose another file with --out"):
        CliRunner().invoke(app, nowhere, catch_exceptions=False)
    with pytest.raises(InvalidInputError, match="run generate first"):
        CliRunner().invoke(app, ["gallery", "--home", str(tmp_path / "empty")], catch_exceptions=False)
    with pytest.raises(InvalidInputError, match="run generate first"):
        CliRunner().invoke(
            app, ["gallery", "--home", str(tmp_path), "--only", f"not-{item.item_id}"], catch_exceptions=False
        )
