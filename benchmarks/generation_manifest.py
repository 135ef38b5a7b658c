"""A large manifest, written, read and merged: ``python -m benchmarks.generation_manifest ACTION FOLDER``."""

import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from beam_pipelines.generate.existing import gather
from beam_pipelines.generate.manifest import SCHEMA, each_row, parquet_of
from beam_pipelines.generate.merge import merge_parts
from beam_pipelines.generate.parts import PREFIX
from demo.measure import tree_bytes
from stores import FileObjectStore

PART = 64
_EVERY_S = 0.02
_NAMES = ("exposure", "burnt", "texture", "size", "contrast", "halo", "growth", "changed", "recolour", "shift")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds, and bytes that the process grew by at the most, of what is resident."""

    seconds: float
    bytes: int


def write(folder: Path, rows: int) -> None:
    """Small parts as runs write them, with rows as long as real ones; unsynced, which only a benchmark may be."""
    (folder / PREFIX).mkdir(parents=True)
    rng = np.random.default_rng(1)
    for start in range(0, rows, PART):
        data = parquet_of(_table(rng, range(start, min(start + PART, rows))))
        (folder / PREFIX / f"{hashlib.sha256(data).hexdigest()[:32]}.parquet").write_bytes(data)


def _table(rng: np.random.Generator, numbers: range) -> pa.Table:
    rows = []
    for number, measured in zip(numbers, rng.random((len(numbers), len(_NAMES))), strict=True):
        name = hashlib.sha256(str(number).encode()).hexdigest()
        rows.append(
            {
                "creative_id": name[:32],
                "item_id": f"sku-{number // 24:08d}",
                "category": "chairs",
                "arm": f"oak-{number % 24}",
                "placement": "square",
                "width": 512,
                "height": 512,
                "path": f"creatives/{name[:2]}/{name[:32]}.jpg",
                "bytes": 48_000 + number % 997,
                "attempt": 0,
                "flagged": number % 50 == 0,
                "reasons": ["halo"] if number % 50 == 0 else [],
                "numbers": json.dumps(dict(zip(_NAMES, measured.tolist(), strict=True))),
                "text": f"a chair number {number // 24} on an oak table in soft morning light, product photograph",
                "negative": "text, logo, second chair",
                "tags": '{"light": "soft-morning", "mood": "warm", "scene": "loft", "surface": "oak"}',
                "backend": "procedural",
                "recipe": "procedural=7 layout=3 composite=2 gate=4 encode=jpeg-84-444 cutout=u2netp-8ca70e44",
                "image_sha256": hashlib.sha256(str(number // 24).encode()).hexdigest(),
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def measure(action: str, folder: Path) -> Spent:
    """Do it, in a process that has done nothing else."""
    objects = FileObjectStore(folder)
    actions: dict[str, Callable[[], object]] = {
        "exists": lambda: gather(objects),
        "rows": lambda: sum(1 for _ in each_row(objects)),
        "merge": lambda: merge_parts(objects),
    }
    # Libraries load what they need when they are first used, on something small.
    parquet_of(_table(np.random.default_rng(1), range(PART)))
    gather(FileObjectStore(folder / "none"))
    with _highest() as highest:
        before, begun = highest[0], time.perf_counter()
        actions[action]()
        seconds = time.perf_counter() - begun
    return Spent(seconds, max(highest) - before)


@contextmanager
def _highest() -> Iterator[list[int]]:
    """What the process holds now, and, as a second entry, at the most while this is open."""
    held = [tree_bytes(os.getpid())] * 2
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            held[1] = max(held[1], tree_bytes(os.getpid()))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield held
    finally:
        over.set()
        watching.join()


def main(action: str, folder: Path, rows: int = 0) -> None:
    """``write`` a manifest of ``rows``, or measure what ``exists``, all ``rows`` or a ``merge``; prints JSON."""
    if action == "write":
        write(folder, rows)
        found = Spent(0.0, 0)
    else:
        found = measure(action, folder)
    sys.stdout.write(json.dumps({"seconds": found.seconds, "bytes": found.bytes}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
