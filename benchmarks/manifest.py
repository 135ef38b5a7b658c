"""What a run reads before it begins: a manifest of a million rows in small parts, and merged; seconds and memory."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.child import last_line
from benchmarks.generation_manifest import PART, Spent
from benchmarks.report import Row, at_least, at_most

PACKAGES = ("pyarrow", "numpy")

_ROWS, _ROUNDS = 1_000_000, 2
_RATIO, _READ_MIB, _MERGE_MIB = 10, 256, 512
_MIB = 1024 * 1024


def rows() -> Iterator[Row]:
    """The figures."""
    with TemporaryDirectory() as name:
        small, merged = Path(name) / "small", Path(name) / "merged"
        _do("write", small, str(_ROWS))
        shutil.copytree(small, merged, copy_function=os.link)
        merge = _do("merge", merged)
        parts = len(list((merged / "manifest" / "merged").iterdir()))
        of_small, of_merged = [], []
        for _ in range(_ROUNDS):
            of_small.append(_do("exists", small))
            of_merged.append(_do("exists", merged))
    mean_small, mean_merged = (sum(each.seconds for each in found) / _ROUNDS for found in (of_small, of_merged))
    note = f"{mean_small:.1f} s, {mean_merged:.2f} s; {_ROWS:,} rows in {_ROWS // PART:,} parts, in {parts}; in turn"
    yield at_least("reading what exists: small parts / merged", mean_small / mean_merged, "x", _RATIO, note=note)
    for what, found in (("small parts", of_small), ("merged", of_merged)):
        held = max(each.bytes for each in found) / _MIB
        yield at_most(f"the same: memory, {what}", held, "MiB", _READ_MIB, note="what exists itself is 17 bytes a row")
    yield Row("merging them, once", merge.seconds, "s", note="files, each synced to the disk")
    yield at_most("the same: memory", merge.bytes / _MIB, "MiB", _MERGE_MIB, note="of one merged part at a time")


def _do(*words: str | Path) -> Spent:
    return Spent(**json.loads(last_line(["benchmarks.generation_manifest", *words])))
