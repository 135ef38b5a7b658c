"""The first experiment: what it chooses, counts and compares, and one small run of the whole."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from beam_pipelines.generate.manifest import ManifestRow, read_manifest
from contracts import InvalidInputError, Product
from demo.experiment import CATALOGUE, ExperimentConfig, chosen, factors_of, look_at, rates_by, reasons_of
from demo.experiment.__main__ import main
from demo.experiment.rates import levels_of, painted
from demo.experiment.variation import AGAIN, Subject, pairs_of, product_core
from generation import Placed
from learner import wilson
from stores import open_objects

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / ".backdrop/weights/u2netp.onnx"
SIDE = 96


def row(item: str, arm: str, tags: dict[str, str], attempt: int = 0, reasons: tuple[str, ...] = ()) -> ManifestRow:
    return ManifestRow(
        creative_id=f"{item}-{arm}",
        item_id=item,
        category="chairs",
        arm=arm,
        placement="square",
        width=SIDE,
        height=SIDE,
        path="",
        bytes=1,
        attempt=attempt,
        flagged=bool(reasons),
        reasons=reasons,
        numbers="{}",
        text="",
        negative="",
        tags=json.dumps(tags),
        backend="procedural",
        recipe="",
        image_sha256="",
    )


def product(item: str, category: str) -> Product:
    return Product(item, category, "Title", "", 1.0, "", "")


def test_products_are_taken_evenly() -> None:
    shop = [
        product(f"{category}{i}", category) for category, count in (("a", 4), ("b", 1), ("c", 2)) for i in range(count)
    ]
    assert [each.item_id for each in chosen(shop, 5)] == ["a0", "b0", "c0", "a1", "c1"]
    assert {each.item_id for each in chosen(shop, 7)} == {each.item_id for each in shop}
    with pytest.raises(InvalidInputError, match="8 products are asked for, the catalogue has 7"):
        chosen(shop, 8)


def test_words_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="products = 0"):
        ExperimentConfig(tmp_path, products=0)
    for names in ((), ("square", "poster")):
        with pytest.raises(InvalidInputError, match=r"use some of \['feed', 'square', 'story'\]"):
            ExperimentConfig(tmp_path, placements=names).slots()


def test_rates_count_each_level_and_leave_the_photo_out() -> None:
    rows = [
        row("x", "original", {}),
        row("x", "oak", {"surface": "oak", "mood": "calm"}),
        row("x", "sand", {"surface": "sand", "mood": "calm"}, attempt=2),
        row("y", "oak", {"surface": "oak", "mood": "calm"}, attempt=2, reasons=("halo", "size")),
        row("y", "sand", {"surface": "sand", "mood": "calm"}, attempt=2, reasons=("halo",)),
    ]
    assert factors_of(rows) == ("surface",)
    rates = rates_by(rows, "surface", lambda each: levels_of(each)["surface"])
    assert [(rate.level, rate.pictures, rate.at_once, rate.passed) for rate in rates] == [
        ("oak", 2, 1, 1),
        ("sand", 2, 0, 1),
    ]
    assert rates[0].plain()["passed_interval"] == wilson(1, 2)
    assert reasons_of(rows) == {"halo": 2, "size": 1}


def test_a_tag_that_differs_between_categories_alone_is_no_factor() -> None:
    rows = [row("x", "a", {"mood": "calm"}), replace(row("y", "b", {"mood": "warm"}), category="tables")]
    assert factors_of(rows) == ()


def test_pairs_differ_in_one_factor() -> None:
    levels = [{"surface": s, "light": light} for s in ("oak", "sand") for light in ("noon", "dusk")]
    assert pairs_of(levels, ("surface", "light")) == [
        ("light", 0, 1),
        ("surface", 0, 2),
        ("surface", 1, 3),
        ("light", 2, 3),
    ]


def placed() -> Placed:
    """A product over three blocks of 16 in the middle, one of them not wholly opaque."""
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[32:64, 32:64] = 1
    alpha[40, 40] = 0.5
    return Placed(np.zeros((SIDE, SIDE, 3), np.uint8), alpha)


def test_the_core_is_blocks_of_product_alone() -> None:
    core = product_core(placed())
    assert core.sum() == 3 * 12 * 12
    assert not core[32:48, 32:48].any()
    assert core[34:46, 50:62].all()


def picture(ground: int, scene: int, seat: int) -> bytes:
    pixels = np.full((SIDE, SIDE, 3), scene, np.uint8)
    pixels[64:] = ground
    pixels[32:64, 32:64] = seat
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def subject(seats: tuple[int, int, int, int]) -> Subject:
    grounds, scenes = (60, 60, 90, 90), (200, 150, 200, 150)
    rows = tuple(
        row("x", f"{g}-{s}", {"surface": str(g), "scene": str(s)}) for g, s in zip(grounds, scenes, strict=True)
    )
    files = tuple(picture(*each) for each in zip(grounds, scenes, seats, strict=True))
    return Subject(placed(), rows, files, (files[0], files[0]))


def test_a_factor_changes_its_part_and_the_product_stays() -> None:
    looked = look_at([subject((120, 120, 120, 120))], ("surface", "scene"))
    found = {each.factor: each for each in looked.variations}
    assert {name: each.pairs for name, each in found.items()} == {AGAIN: 1, "surface": 2, "scene": 2}
    assert (found[AGAIN].whole, found["surface"].below, found["surface"].above) == (0, 30, 0)
    assert (found["scene"].above, found["scene"].below) == (50, 0)
    assert 0 < found["surface"].whole < 30
    assert (looked.pictures, looked.largest_difference) == (4, 0)
    assert looked.product_pixels == product_core(placed()).sum()


def test_a_product_that_changes_is_found() -> None:
    assert look_at([subject((120, 120, 127, 120))], ("surface", "scene")).largest_difference == 7


def test_an_error_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path), "--placements", "poster"]) == 1
    assert "experiment: placements ['poster']: use some of" in " ".join(capsys.readouterr().out.split())
    assert main(["--home", str(tmp_path), "--products", "1000"]) == 1


def small_catalogue(folder: Path) -> Path:
    """An armchair and a cup with their prompts, and a product whose photo is missing."""
    rows = {row["item_id"]: row for row in pq.read_table(CATALOGUE / "products.parquet").to_pylist()}
    taken = [rows["armchair-shellback"], rows["cup-espresso"]]
    for taken_row in taken:
        taken_row["image_uri"] = str(CATALOGUE / taken_row["image_uri"])
    lost = {**taken[0], "item_id": "lost", "category": "chairs", "image_uri": "nowhere.jpg"}
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist([*taken, lost]), folder / "products.parquet")
    for name in ("prompts.yaml", "placements.yaml"):
        (folder / name).write_bytes((CATALOGUE / name).read_bytes())
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="segmentation weights are not set up (make setup)")
def test_a_small_run_writes_its_report_and_makes_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = small_catalogue(tmp_path / "shop")
    words = ["--catalogue", str(shop), "--products", "3", "--workers", "1", "--weights", str(WEIGHTS)]
    monkeypatch.chdir(tmp_path)
    words += ["--home", "."]
    assert main([*words, "--out", str(tmp_path / "first")]) == 0
    first = json.loads((tmp_path / "first/experiment.json").read_text())
    assert first["categories"] == {"sofas": 1, "kitchen": 1, "chairs": 1}
    assert (first["wanted"], first["there"], first["painted"]) == (57, 38, 36)
    assert (first["generated"]["made"], first["dead_letters"]) == (38, {"no_image": 1})
    rows = list(read_manifest(open_objects(str(tmp_path / "objects"))).values())
    assert first["passed"] == sum(not each.flagged for each in painted(rows)) > 0
    assert first["bytes"] == sum(each.bytes for each in rows)
    for factor in ("surface", "scene", "light"):
        assert sum(rate["pictures"] for rate in first["rates"][factor]) == 36
    # Of 18 arms: 3 × 6 pairs a surface or scene, 9 a light; two products.
    pairs = {each["factor"]: each["pairs"] for each in first["variation"]["variations"]}
    assert pairs == {AGAIN: 2, "light": 18, "scene": 36, "surface": 36}
    assert first["variation"]["product_pixels"] > 0
    assert first["variation"]["largest_difference"] == 0
    page = (tmp_path / "first/experiment.md").read_text()
    assert "18 prompts a product" in page
    assert "Products left out in this run: `no_image` 1." in page
    for path in ("images/experiment-factors.jpg", "images/experiment-categories.jpg"):
        assert f"]({path})" in page
        with Image.open(tmp_path / "first" / path) as sheet:
            assert sheet.format == "JPEG"
    gallery = (tmp_path / "gallery.html").read_text()
    assert all(each.creative_id in gallery for each in rows)
    assert "Shellback Lounge Armchair" in gallery

    assert main([*words, "--out", str(tmp_path / "second")]) == 0
    second = json.loads((tmp_path / "second/experiment.json").read_text())
    assert (second["generated"]["made"], second["generated"]["skipped"]) == (0, 38)
    assert {name: second[name] for name in ("rates", "variation", "bytes")} == {
        name: first[name] for name in ("rates", "variation", "bytes")
    }
