"""Large catalogues through the driver of the generation job: ``python -m benchmarks.generation_feed SUFFIX ROWS``."""

import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

from beam_pipelines.generate import GenerateConfig
from beam_pipelines.generate.intake import Intake
from contracts import Prompt
from demo.measure import tree_bytes
from generation import PromptBook
from stores import FileObjectStore

_COLUMNS = ("item_id", "category", "title", "description", "price", "brand", "image_uri")
_BATCH = 10_000
_BOOK = PromptBook({"chairs": (Prompt("oak", "chairs", "on oak"),)})


def write(path: Path, rows: int) -> None:
    """Write a catalogue in the format of its suffix."""
    if path.suffix == ".parquet":
        rest = _rows(rows)
        schema = pa.schema([(name, pa.utf8()) for name in _COLUMNS])
        with pq.ParquetWriter(path, schema) as parquet:
            while batch := list(islice(rest, _BATCH)):
                parquet.write_batch(pa.RecordBatch.from_pylist(batch, schema))
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            table = csv.writer(file)
            table.writerow(_COLUMNS)
            table.writerows(row.values() for row in _rows(rows))
        elif path.suffix == ".jsonl":
            file.writelines(json.dumps(row) + "\n" for row in _rows(rows))
        else:
            file.write('<rss xmlns:g="http://base.google.com/ns/1.0"><channel>')
            for row in _rows(rows):
                fields = "".join(f"<g:{name}>{escape(text)}</g:{name}>" for name, text in row.items())
                file.write(f"<item>{fields}</item>\n")
            file.write("</channel></rss>")


def _rows(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        words = f"A chair with the number {number} & a name of some length"
        values = (f"sku-{number:08d}", "chairs", words, words * 3, "149.00 EUR", "Nordhage", f"photos/{number}.jpg")
        yield dict(zip(_COLUMNS, values, strict=True))


def main(suffix: str, rows: int) -> None:
    """Stream the catalogue into chunks as the job does; print rows, seconds, and bytes that memory grew by."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / f"products.{suffix}"
        write(path, rows)
        config = GenerateConfig(str(path), "", "", str(folder / "objects"))
        plans = FileObjectStore(folder / "plans")
        before = highest = tree_bytes(os.getpid())
        begun, seen = time.perf_counter(), 0
        for chunk in Intake(config, _BOOK, plans, "plans/").chunks():
            seen += chunk.products
            # As a run's own files these would be there to its end; here they only fill the disk.
            plans.remove(chunk.path)
            highest = max(highest, tree_bytes(os.getpid()))
        found = {"rows": seen, "seconds": time.perf_counter() - begun, "bytes": highest - before}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
