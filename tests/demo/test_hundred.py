"""The catalogue of the first experiment: at least 100 products, and prompts that vary one factor at a time."""

from collections import Counter
from itertools import product as crossed
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy import ndimage

from contracts import Product
from demo.experiment import CATALOGUE
from demo.render import read_recipe
from generation import (
    ProceduralBackend,
    PromptBook,
    RembgSegmenter,
    decode_photo,
    read_catalogue,
    read_placements,
    read_prompts,
    specs_of,
)
from generation.cutout import matte_of

ROOT = Path(__file__).parents[2]
DEMO = CATALOGUE.parent
RECIPE = ROOT / "demo/render/hundred.yaml"
MAX_BYTES = 8_000_000


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = pq.read_table(CATALOGUE / "products.parquet").to_pylist()
    return read


@pytest.fixture(scope="module")
def book() -> PromptBook:
    return read_prompts(CATALOGUE / "prompts.yaml")


@pytest.fixture(scope="module")
def products(book: PromptBook) -> tuple[Product, ...]:
    return read_catalogue(CATALOGUE / "products.parquet", book.prompts).products


def test_at_least_100_products_in_at_least_10_categories(rows: list[dict[str, Any]]) -> None:
    categories = Counter(row["category"] for row in rows)
    assert len(rows) >= 100
    assert len(categories) >= 10
    assert min(categories.values()) >= 4
    assert len({row["item_id"] for row in rows}) == len({row["title"] for row in rows}) == len(rows)


def test_all_of_it_can_be_read(rows: list[dict[str, Any]], products: tuple[Product, ...]) -> None:
    assert [product.item_id for product in products] == [row["item_id"] for row in rows]
    for product in products:
        assert product.title and product.description and product.brand
        assert 0 < product.price < 10_000
        assert {"colour", "material"} <= dict(product.attributes).keys(), product.item_id


def test_rows_are_what_the_recipe_says(rows: list[dict[str, Any]]) -> None:
    recipe = read_recipe(RECIPE)
    assert [entry.product.item_id for entry in recipe] == [row["item_id"] for row in rows]
    for entry, row in zip(recipe, rows, strict=True):
        told = {name: value for name, value in row.items() if name not in {"colour", "material"}}
        assert {name: getattr(entry.product, name) for name in told} == told
        assert dict(entry.product.attributes) == {name: row[name] for name in ("colour", "material")}


def test_models_are_different(rows: list[dict[str, Any]]) -> None:
    models = Counter((entry.library, entry.model) for entry in read_recipe(RECIPE))
    assert models.most_common(1)[0][1] == 1


def test_no_photo_is_there_twice_or_left_over_and_all_are_small(rows: list[dict[str, Any]]) -> None:
    photos = list((CATALOGUE / "photos").iterdir())
    own = {row["image_uri"] for row in rows if not row["image_uri"].startswith("../")}
    assert {f"photos/{path.name}" for path in photos} == own
    assert {row["image_uri"] for row in rows} - own == {
        f"../photos/{path.name}" for path in (DEMO / "photos").iterdir()
    }
    assert sum(path.stat().st_size for path in photos) < MAX_BYTES


def test_photos_show_a_whole_product_on_a_plain_backdrop(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        with Image.open(CATALOGUE / row["image_uri"]) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB"), row["item_id"]
            assert image.width == image.height >= 800, row["item_id"]
            pixels = np.asarray(image.resize((100, 100)), np.float64)
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert np.ptp(border, axis=1).max() < 8, f"{row['item_id']}: the border is not grey"
        assert np.abs(border - border.mean()).max() < 45, f"{row['item_id']}: something touches the border"
        apart = np.abs(pixels - np.median(border)).max(axis=2)
        assert apart[20:80, 20:80].max() > 60, f"{row['item_id']}: nothing stands out in the middle"
        # Neither a speck nor cropped: the product's longer side fills most of the frame.
        sides = [np.ptp(np.flatnonzero((apart > 60).any(axis=axis))) for axis in (0, 1)]
        assert 40 <= max(sides) <= 85, f"{row['item_id']}: {sides}"


def test_the_notice_names_every_photo_with_author_and_licence(rows: list[dict[str, Any]]) -> None:
    notice = (CATALOGUE / "NOTICE.md").read_text(encoding="utf-8")
    told = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in notice.splitlines()}
    for row in rows:
        _, model, author, origin, licence = told[row["item_id"]]
        assert model and author.strip() and origin
        assert licence.removesuffix(" |") in {"CC0 1.0", "CC BY 3.0"}
    assert "creativecommons.org/licenses/by/3.0" in notice


def test_prompts_are_crossed_factors(book: PromptBook) -> None:
    for category, prompts in book.prompts.items():
        levels = {kind: {prompt.tags[kind] for prompt in prompts} for kind in ("surface", "scene", "light")}
        assert {kind: len(found) for kind, found in levels.items()} == {"surface": 3, "scene": 3, "light": 2}, category
        there = {tuple(prompt.tags[kind] for kind in levels) for prompt in prompts}
        assert there == set(crossed(*levels.values())), category
        assert len(there) == len(prompts), category
        assert len({prompt.tags["mood"] for prompt in prompts}) == 1, category


def test_every_product_can_have_every_prompt(products: tuple[Product, ...], book: PromptBook) -> None:
    slots = read_placements(CATALOGUE / "placements.yaml")
    for product in products:
        prompts = book.of(product.category)
        specs = specs_of(product, "0" * 64, prompts, slots, ProceduralBackend())
        assert len(specs) == len(slots) * (1 + len(prompts)), product.item_id
        assert len({spec.creative_id for spec in specs}) == len(specs)
        assert not any("{" in spec.text for spec in specs)


@pytest.mark.slow
def test_products_are_cut_out_along_their_true_outline(products: tuple[Product, ...]) -> None:
    segmenter = RembgSegmenter(ROOT / ".backdrop/weights/u2netp.onnx")
    newest = {product.category: product for product in products}
    # Of the two named ones the network alone loses a fifth; of the barstool it closes the holes (0.92).
    lost = [product for product in products if product.item_id in ("toaster-tangerine", "butter-dish")]
    for product in [*newest.values(), *lost]:
        item, path = product.item_id, CATALOGUE / product.image_uri
        photo = decode_photo(path.read_bytes())
        true = np.asarray(Image.open(path.parents[1] / "masks" / f"{item}.png"))
        alpha = matte_of(photo.rgb, segmenter)
        found = alpha > 0.5
        overlap = (found & true).sum() / (found | true).sum()
        assert overlap > 0.9, f"{item}: {overlap:.3f}"
        assert ndimage.label(alpha > 0.05, structure=np.ones((3, 3)))[1] <= 3, item
