"""The catalogue that the repository ships."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from demo.render import read_recipe

CATALOGUE = Path(__file__).parents[2] / "demo" / "catalogue"
RECIPE = CATALOGUE.parent / "render" / "products.yaml"

TAGS = {
    "surface": {"oak", "walnut", "marble", "concrete", "linen", "terrazzo", "slate", "sand", "grass", "tile"},
    "scene": {
        "living-room",
        "studio-gradient",
        "loft-window",
        "garden",
        "beach",
        "city-night",
        "kitchen",
        "shelf-wall",
        "forest",
        "sunset-sky",
    },
    "light": {"soft-morning", "golden-hour", "bright-noon", "cool-evening", "spotlight"},
    "mood": {"calm", "warm", "fresh", "dramatic", "playful"},
}


@pytest.fixture(scope="module")
def products() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(CATALOGUE / "products.parquet").to_pylist()
    return rows


def document(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((CATALOGUE / name).read_text(encoding="utf-8"))
    return read


def test_at_least_24_products_in_4_categories_with_distinct_ids(products: list[dict[str, Any]]) -> None:
    categories = [row["category"] for row in products]
    assert len(products) >= 24
    assert len(set(categories)) >= 4
    assert min(categories.count(each) for each in set(categories)) >= 6
    assert len({row["item_id"] for row in products}) == len(products)
    assert len({row["title"] for row in products}) == len(products)


def test_rows_are_complete(products: list[dict[str, Any]]) -> None:
    for row in products:
        assert all(row[key].strip() for key in ("item_id", "category", "title", "description", "brand", "image_uri"))
        assert 0 < row["price"] < 10_000


def test_rows_are_what_the_recipe_says(products: list[dict[str, Any]]) -> None:
    recipe = read_recipe(RECIPE)
    assert [entry.product.item_id for entry in recipe] == [row["item_id"] for row in products]
    for entry, row in zip(recipe, products, strict=True):
        assert {key: getattr(entry.product, key) for key in row} == row


def test_photos_decode_and_show_a_whole_product_on_a_plain_backdrop(products: list[dict[str, Any]]) -> None:
    for row in products:
        with Image.open(CATALOGUE / row["image_uri"]) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (1000, 1000)), row["item_id"]
            image.draft("RGB", (250, 250))
            pixels = np.asarray(image.resize((100, 100)), np.float64)
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert np.ptp(border, axis=1).max() < 8, f"{row['item_id']}: the border is not grey"
        assert np.abs(border - border.mean()).max() < 45, f"{row['item_id']}: something touches the border"
        middle = pixels[20:80, 20:80]
        assert np.abs(middle - np.median(border)).max() > 60, f"{row['item_id']}: nothing stands out in the middle"


def test_no_photo_is_left_over_and_all_are_small(products: list[dict[str, Any]]) -> None:
    photos = list((CATALOGUE / "photos").iterdir())
    assert {f"photos/{path.name}" for path in photos} == {row["image_uri"] for row in products}
    assert sum(path.stat().st_size for path in photos) < 8_000_000


def test_every_category_has_5_prompts_within_the_vocabulary(products: list[dict[str, Any]]) -> None:
    prompts = document("prompts.yaml")
    assert prompts["version"] == 1
    assert set(prompts["categories"]) == {row["category"] for row in products}
    for category, entry in prompts["categories"].items():
        arms = entry["prompts"]
        assert entry["product_words"], category
        assert len(arms) >= 5, category
        assert len({each["arm"] for each in arms}) == len(arms), category
        for each in arms:
            assert set(each) == {"arm", "text", "negative", "tags"}, each["arm"]
            assert 10 <= len(each["text"].split()) < 60, each["arm"]
            assert each["negative"].strip(), each["arm"]
            assert {name: value in TAGS[name] for name, value in each["tags"].items()} == dict.fromkeys(TAGS, True)


def test_arms_of_a_category_look_different() -> None:
    for category, entry in document("prompts.yaml")["categories"].items():
        arms = entry["prompts"]
        assert len({each["tags"]["surface"] for each in arms}) == len(arms), category
        assert len({each["tags"]["scene"] for each in arms}) == len(arms), category


def test_placements_have_3_aspect_ratios() -> None:
    placements = document("placements.yaml")
    assert placements["version"] == 1
    slots = placements["placements"]
    assert len({each["placement"] for each in slots}) == len(slots)
    assert all(each["width"] > 0 and each["height"] > 0 and each["position"] for each in slots)
    assert len({round(each["width"] / each["height"], 2) for each in slots}) >= 3


def test_the_licence_is_there_and_names_every_photo(products: list[dict[str, Any]]) -> None:
    assert "CC0 1.0 Universal" in (CATALOGUE / "CC0-1.0.txt").read_text(encoding="utf-8")
    notice = (CATALOGUE / "NOTICE.md").read_text(encoding="utf-8")
    assert all(f"| {row['item_id']} |" in notice for row in products)
