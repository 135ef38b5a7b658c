"""What a run reads before it begins: a manifest of a million rows in small parts, and merged; seconds and memory."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory

from benchmarks.generation_manifest import PART, Spent
from benchmarks.report import Row, at_least, at_most
from contracts import SetupError
from stores.child import start_child

PACKAGES = ("pyarrow", "numpy")

_ROOT = Path(__file__).parents[1]
_ROWS, _ROUNDS = 1_000_000, 2
_RATIO, _READ_MIB, _MERGE_MIB = 10, 256, 512
_MIB = 1024 * 1024
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


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
    child = start_child(
        [sys.executable, "-m", "benchmarks.generation_manifest", *map(str, words)],
        on_parent_death=signal.SIGKILL,
        output=PIPE,
        folder=_ROOT,
        environment=_ONE_THREAD,
    )
    out, _ = child.communicate()
    if child.returncode:
        message = f"benchmarks.generation_manifest {words[0]} failed:\n{out.decode()[-2000:]}"
        raise SetupError(message)
    return Spent(**json.loads(out.decode().splitlines()[-1]))
