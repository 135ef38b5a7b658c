import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts import InvalidInputError
from generation import read_catalogue

GOOD = {
    "item_id": "a", "category": "seating", "title": "Chair", "description": "", "price": 9.5, "brand": "B",
    "image_uri": "a.jpg",
}  # fmt: skip


def write(path: Path, *rows: dict[str, object]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def test_bad_rows_become_dead_rows_and_the_others_go_on(tmp_path: Path) -> None:
    changes: list[tuple[str, dict[str, object]]] = [
        ("duplicate_id", {"item_id": "a", "title": "again"}),
        ("unknown_category", {"item_id": "b", "category": "boats"}),
        ("empty_title", {"item_id": "c", "title": "  "}),
        ("bad_price", {"item_id": "d", "price": math.nan}),
        ("bad_price", {"item_id": "e", "price": -1.0}),
        ("bad_price", {"item_id": "f", "price": None}),
        ("no_image", {"item_id": "g", "image_uri": None}),
        ("bad_item_id", {"item_id": "../x"}),
        ("bad_item_id", {"item_id": None}),
        ("bad_text", {"item_id": "h", "description": "x" * 10_001}),
    ]
    path = write(tmp_path / "p.parquet", GOOD, *({**GOOD, **change} for _, change in changes), {**GOOD, "item_id": "z"})
    catalogue = read_catalogue(path, ["seating"])
    assert [product.item_id for product in catalogue.products] == ["a", "z"]
    assert [row.reason for row in catalogue.dead] == [reason for reason, _ in changes]
    assert all(row.detail for row in catalogue.dead)
    assert catalogue.folder == tmp_path


def test_a_file_that_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_catalogue(tmp_path / "text.parquet", ["seating"])
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_catalogue(tmp_path / "absent.csv", ["seating"])
    with pytest.raises(InvalidInputError, match=r"suffix '\.doc' is not known"):
        read_catalogue(tmp_path / "text.doc", ["seating"])
    with pytest.raises(InvalidInputError, match="lacks the columns"):
        read_catalogue(write(tmp_path / "p.parquet", {"item_id": "a"}), ["seating"])
