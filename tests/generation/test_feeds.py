"""Catalogue files in every format: the same products, broken places named, memory that does not grow with the file."""

import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import InvalidInputError, Product
from generation import Catalogue, iter_catalogue, read_catalogue

Rows = list[dict[str, str]]

ROWS: Rows = [
    {
        "id": f"sku-{n}",
        "title": f'Chair "N° {n}", <oak> & ash',
        "description": "Two\tparts;\nsecond line, größer",
        "price": "1,149.50 EUR",
        "brand": "Nordhage",
        "product_type": "Home > Living Room > Seating",
        "image_link": f"https://img.example/{n}.jpg",
    }
    for n in range(3)
]


def parquet(rows: Rows) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


def separated(delimiter: str) -> Callable[[Rows], bytes]:
    def write(rows: Rows) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue().encode()

    return write


def json_lines(rows: Rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def rss(rows: Rows) -> bytes:
    items = "".join(
        "<item>"
        + "".join(f"<g:{name}>{escape(value)}</g:{name}>" for name, value in row.items())
        + "<g:shipping><g:price>9.99 EUR</g:price><g:id>no</g:id></g:shipping></item>"
        for row in rows
    )
    head = '<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>'
    return f"<?xml version='1.0'?>{head}{items}</channel></rss>".encode()


def atom(rows: Rows) -> bytes:
    entries = "".join(
        f"<entry><title>{escape(row['title'])}</title>"
        + "".join(f"<g:{name}>{escape(value)}</g:{name}>" for name, value in row.items() if name != "title")
        + "</entry>"
        for row in rows
    )
    head = '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">'
    return f"{head}{entries}</feed>".encode()


FORMATS = {
    "a.parquet": parquet,
    "a.csv": separated(","),
    "a.tsv": separated("\t"),
    "a.jsonl": json_lines,
    "rss.xml": rss,
    "atom.xml": atom,
}


def read(path: Path, data: bytes) -> Catalogue:
    path.write_bytes(data)
    return read_catalogue(path, ["seating", "garden"])


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_products(name: str, tmp_path: Path) -> None:
    catalogue = read(tmp_path / name, FORMATS[name](ROWS))
    assert catalogue.dead == ()
    assert catalogue.products == tuple(
        Product(
            row["id"], "seating", row["title"], row["description"], 1149.5, row["brand"], row["image_link"]
        )
        for row in ROWS
    )  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_other_columns_are_attributes_whatever_the_format(name: str, tmp_path: Path) -> None:
    said = {"color": "sea green", "material": "oak {wood}", "age_group": "adult", "finish": "oiled"}
    rows = [{**row, **said, "mobile_link": "https://shop.example/1", "note": "x" * 300} for row in ROWS]
    wanted = {"age_group": "adult", "colour": "sea green", "finish": "oiled", "material": "oak {wood}"}
    assert [dict(product.attributes) for product in read(tmp_path / name, FORMATS[name](rows)).products] == [
        wanted for _ in rows
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_was_cut_short_never_gives_a_product_that_is_not_whole(name: str, tmp_path: Path) -> None:
    data, whole = FORMATS[name](ROWS), set(read(tmp_path / name, FORMATS[name](ROWS)).products)
    for end in range(0, len(data), 37):
        try:
            found = read(tmp_path / name, data[:end])
        except InvalidInputError as error:
            assert name in str(error)
            continue
        # A cut within the last field of the last line cannot be told from a shorter one.
        assert set(found.products[:-1]) <= whole


@given(data=st.binary(max_size=400), name=st.sampled_from(sorted(FORMATS)))
def test_whatever_the_bytes_only_a_stated_error_comes(
    data: bytes, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    head = b"" if name == "a.parquet" else FORMATS[name](ROWS)[:120]
    for start in (b"", head):
        try:
            read(path, start + data)
        except InvalidInputError as error:
            assert str(path) in str(error)


def test_broken_lines_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    head = "item_id,category,title,price,image_uri\n"
    good = "{},seating,Chair,9,{}.jpg\n"
    text = head + good.format("a", "a") + "b,seating,Chair\n" + good.format("c", "c") + 'd,seating,"Ch"air,9,d.jpg\n'
    data = text.encode() + b"e,seating,\xff,9,e.jpg\n" + good.format("f", "f").encode() + b'g,seating,"open\n'
    catalogue = read(tmp_path / "p.csv", data)
    assert [product.item_id for product in catalogue.products] == ["a", "c", "f"]
    assert [row.reason for row in catalogue.dead] == ["bad_row"] * 4
    assert [row.detail.split(":")[0] for row in catalogue.dead] == ["line 3", "line 5", "line 5", "line 7"]

    lines = [b'{"item_id": "a"', b"[1]", b"", b"NaN", b"[" * 100_000, b"\xfe", json_lines(ROWS[:1]).strip()]
    catalogue = read(tmp_path / "p.jsonl", b"\n".join(lines))
    assert [product.item_id for product in catalogue.products] == ["sku-0"]
    assert [row.reason for row in catalogue.dead] == ["bad_row"] * 5


def test_a_line_without_an_end_is_one_bad_row(tmp_path: Path) -> None:
    row = json_lines(ROWS[:1])
    catalogue = read(tmp_path / "p.jsonl", b'{"item_id": "' + b"x" * (5 << 20) + b'"}\n' + row)
    assert [product.item_id for product in catalogue.products] == ["sku-0"]
    assert [row.detail for row in catalogue.dead] == ["line 1: it is longer than 1048576 bytes"]


def test_a_column_for_each_thing_needed(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"lacks the columns \['price', 'image_uri', 'category'\]"):
        read(tmp_path / "p.csv", b"id,title\n")
    with pytest.raises(InvalidInputError, match="several columns for"):
        read(tmp_path / "p.csv", b"id,item_id,title,price,image_link,category\n")
    with pytest.raises(InvalidInputError, match="is empty"):
        read(tmp_path / "p.csv", b"")


@pytest.mark.parametrize(
    ("price", "value"),
    [("149", 149.0), ("149.00 EUR", 149.0), ("EUR 1,149.00", 1149.0), ("0", 0.0)]
    + [(bad, None) for bad in ("", "free", "-1", "1,14", "nan", "inf", "9 9", "9.99€", "1e5")],
)  # fmt: skip
def test_prices(price: str, value: float | None, tmp_path: Path) -> None:
    catalogue = read(tmp_path / "p.jsonl", json_lines([{**ROWS[0], "price": price}]))
    assert [product.price for product in catalogue.products] == ([] if value is None else [value])
    assert [row.reason for row in catalogue.dead] == (["bad_price"] if value is None else [])


@pytest.mark.parametrize(
    ("columns", "category"),
    [
        ({"category": "garden", "product_type": "Home > Seating"}, "garden"),
        ({"category": "boats", "product_type": "Home > Seating"}, None),
        ({"product_type": "Seating > Garden > Odd"}, "garden"),
        ({"product_type": "Odd", "google_product_category": "Furniture > Seating"}, "seating"),
        ({"product_type": "Odd"}, None),
    ],
)
def test_the_category_is_told_or_found_in_the_product_type(
    columns: dict[str, str], category: str | None, tmp_path: Path
) -> None:
    row = {name: value for name, value in ROWS[0].items() if name != "product_type"}
    catalogue = read(tmp_path / "p.jsonl", json_lines([{**row, **columns}]))
    assert [product.category for product in catalogue.products] == ([] if category is None else [category])
    assert [row.reason for row in catalogue.dead] == (["unknown_category"] if category is None else [])


def test_xml_that_would_expand_or_never_end_is_refused(tmp_path: Path) -> None:
    bomb = b'<!DOCTYPE rss [<!ENTITY a "aaaa">]><rss><channel><item><id>&a;</id></item></channel></rss>'
    with pytest.raises(InvalidInputError, match="document type"):
        read(tmp_path / "bomb.xml", bomb)
    with pytest.raises(InvalidInputError, match="more than 1048576 characters"):
        read(tmp_path / "long.xml", b"<rss><item><title>" + b"x" * (2 << 20) + b"</title></item></rss>")
    with pytest.raises(InvalidInputError, match="well-formed"):
        read(tmp_path / "html.xml", b"<html><p>Not found<br></html>")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "rss.xml", "a.parquet"])
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path) -> None:
    peaks = []
    for size in (3_000, 12_000):
        path = tmp_path / name
        path.write_bytes(FORMATS[name]([{**ROWS[0], "id": f"sku-{n}"} for n in range(size)]))
        tracemalloc.start()
        assert sum(isinstance(entry, Product) for entry in iter_catalogue(path, ["seating"])) == size
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Ids are kept, for finding repeated ones: about 130 bytes each.
    assert peaks[1] - peaks[0] < 9_000 * 200
