"""A small catalogue on disk, with slots small enough to be quick."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines.generate import GenerateConfig
from tests.generation.studio import encoded, photo_pixels

WEIGHTS = Path(__file__).parents[3] / ".backdrop" / "weights" / "u2netp.onnx"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason="segmentation weights are not set up (make setup)")

PROMPTS = """\
version: 1
categories:
  seating:
    - {arm: oak, text: on oak, tags: {surface: oak, scene: garden, light: bright-noon, mood: fresh}}
    - {arm: slate, text: on slate, tags: {surface: slate, scene: kitchen, light: cool-evening, mood: warm}}
  garden:
    - {arm: sand, text: on sand, tags: {surface: sand, scene: beach, light: golden-hour, mood: warm}}
"""
SLOTS = """\
version: 1
placements:
  - {placement: square, width: 120, height: 120, position: feed}
  - {placement: banner, width: 240, height: 80, position: top}
"""


def row(item: str, category: str = "seating", **changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "item_id": item, "category": category, "title": f"A {item}", "description": "", "price": 5.0, "brand": "",
        "image_uri": f"{item}.png",
    }  # fmt: skip
    return {**plain, **changes}


def write_catalogue(folder: Path, rows: Sequence[dict[str, object]]) -> None:
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "products.parquet")


def open_shop(folder: Path, rows: Sequence[dict[str, object]], **changes: Any) -> GenerateConfig:
    """Write the inputs, with a good photo for every row that names none yet; returns the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompts.yaml").write_text(PROMPTS)
    (folder / "placements.yaml").write_text(SLOTS)
    write_catalogue(folder, rows)
    for index, entry in enumerate(rows):
        path = folder / str(entry["image_uri"])
        if not path.exists() and not str(entry["image_uri"]).startswith("missing"):
            path.write_bytes(encoded(photo_pixels(200, 200, (150, 30 + 25 * index % 200, 60))))
    settings: dict[str, Any] = {
        "catalogue": str(folder / "products.parquet"),
        "prompts": str(folder / "prompts.yaml"),
        "placements": str(folder / "placements.yaml"),
        "objects_uri": str(folder / "objects"),
        "media_base_url": "http://localhost/media",
        "weights": str(WEIGHTS),
        "workers": 1,
        **changes,
    }
    return GenerateConfig(**settings)
