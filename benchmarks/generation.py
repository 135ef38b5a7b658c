"""The generation job: what it runs how often, two processes beside a plain loop, its own share, large catalogues."""

import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory

from beam_pipelines.generate import GenerateConfig, GenerateReport, Progress, run
from benchmarks import generation_counts
from benchmarks.report import Row, at_least, at_most
from contracts import SetupError
from generation import read_catalogue, read_prompts
from stores.child import start_child

PACKAGES = ("apache-beam", "diffusers", "torch", "rembg", "onnxruntime", "numpy", "pillow")

_ROOT = Path(__file__).parents[1]
_CATALOGUE = _ROOT / "demo/catalogue"
# Products of a round: 24 pictures each, so that both sides make more than 500.
_ROUND, _ROUNDS = 11, 2
_SMALL, _LARGE = 2, 8
_FEEDS = {"csv": 1_000_000, "jsonl": 200_000, "xml": 200_000}
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
# Work on pictures; the rest of a job's time is Beam's, the stores' and the planner's.
_WORK = ("photo", "cutout", "place", "paint", "composite", "gate", "encode")
_SPEED, _SHARE = 1.7, 0.10


def rows() -> Iterator[Row]:
    """The figures, quick ones first."""
    yield from generation_counts.rows()
    with TemporaryDirectory() as name:
        products = read_catalogue(_CATALOGUE / "products.parquet", read_prompts(_CATALOGUE / "prompts.yaml").prompts)
        items = [product.item_id for product in products.products]
        yield _overhead(Path(name), items)
        yield from _processes(Path(name), items)
    for suffix, count in _FEEDS.items():
        found = json.loads(_output(["benchmarks.generation_feed", suffix, str(count)]))
        grown = f"memory grew by {found['mib']:.0f} MiB ({found['mib'] * 2**20 / count:.0f} B a row)"
        note = f"{found['seconds']:.0f} s, {grown}"
        yield Row(
            f"catalogue of {found['rows']:,} rows, {suffix}", found["rows"] / found["seconds"], "rows/s", note=note
        )


@dataclass(frozen=True, slots=True)
class _Done:
    """A job's report, the seconds from its first picture to its last, and how many pictures came in those."""

    report: GenerateReport
    seconds: float
    pictures: int


def _overhead(folder: Path, items: Sequence[str]) -> Row:
    """By the difference of a large and a small job, which both start once."""
    small, large = (
        _job(folder / f"share-{count}", items[:count], workers=1) for count in (_SMALL, _LARGE)
    )  # fmt: skip
    work = sum(large[0].report.seconds[name] - small[0].report.seconds[name] for name in _WORK)
    wall = large[1] - small[1]
    others = {
        name: seconds - small[0].report.seconds.get(name, 0.0)
        for name, seconds in large[0].report.seconds.items()
        if name not in _WORK
    }
    parts = ", ".join(f"{name} {100 * seconds / wall:.1f} %" for name, seconds in sorted(others.items()))
    note = f"one process, {large[0].report.made - small[0].report.made} pictures in {wall:.0f} s; {parts}"
    return at_most("share of the job outside model and image work", 1 - work / wall, "", _SHARE, note=note)


def _processes(folder: Path, items: Sequence[str]) -> Iterator[Row]:
    mine, plain = [0.0, 0.0], [0.0, 0.0]
    for number in range(_ROUNDS):
        part = items[number * _ROUND : (number + 1) * _ROUND]
        loop = json.loads(_plain(folder / f"plain-{number}", part))
        done, _ = _job(folder / f"job-{number}", part, workers=2)
        for total, found in ((plain, (loop["pictures"], loop["seconds"])), (mine, (done.pictures, done.seconds))):
            total[0] += found[0]
            total[1] += found[1]
    ratio = (mine[0] / mine[1]) / (plain[0] / plain[1])
    note = (
        f"{mine[0]:.0f} pictures at {mine[0] / mine[1]:.2f}/s beside {plain[0] / plain[1]:.2f}/s, "
        f"from the first picture to the last, {_ROUNDS} rounds in turn; one BLAS and one ONNX thread each"
    )
    yield at_least("two processes / a plain loop in one, pictures a second", ratio, "x", _SPEED, note=note)


def _config(folder: Path, items: Sequence[str]) -> GenerateConfig:
    weights = _ROOT / ".backdrop/weights/u2netp.onnx"
    if not weights.is_file():
        message = f"{weights} is missing: run `make setup`"
        raise SetupError(message)
    return GenerateConfig(
        catalogue=str(_CATALOGUE / "products.parquet"),
        prompts=str(_CATALOGUE / "prompts.yaml"),
        placements=str(_CATALOGUE / "placements.yaml"),
        objects_uri=str(folder),
        weights=str(weights),
        only=tuple(items),
    )


def _job(folder: Path, items: Sequence[str], *, workers: int) -> tuple[_Done, float]:
    """Run the job; also the seconds that it took from begin to end."""
    seen: list[tuple[float, int]] = []

    def watch(now: Progress) -> None:
        if now.done and (not seen or now.done > seen[-1][1]):
            seen.append((time.perf_counter(), now.done))

    begun = time.perf_counter()
    report = run(replace(_config(folder, items), workers=workers), watch)
    wall = time.perf_counter() - begun
    (first_s, first), (last_s, last) = seen[0], seen[-1]
    return _Done(report, last_s - first_s, last - first), wall


def _plain(folder: Path, items: Sequence[str]) -> str:
    path = folder.with_suffix(".json")
    path.write_text(_config(folder, items).to_json())
    return _output(["benchmarks.plain_generation", str(path)])


def _output(words: Sequence[str]) -> str:
    child = start_child(
        [sys.executable, "-m", *words],
        on_parent_death=signal.SIGKILL,
        output=PIPE,
        folder=_ROOT,
        environment=_ONE_THREAD,
    )
    out, _ = child.communicate()
    if child.returncode:
        message = f"python -m {' '.join(words)} failed:\n{out.decode()[-2000:]}"
        raise SetupError(message)
    return out.decode().splitlines()[-1]
