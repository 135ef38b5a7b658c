"""The generation job: what it runs how often, two processes beside a plain loop, its own share, large catalogues."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from beam_pipelines.generate import GenerateConfig, GenerateReport, Progress, run
from benchmarks import generation_counts
from benchmarks.child import last_line
from benchmarks.report import Row, at_least, at_most
from contracts import SetupError
from generation import read_catalogue, read_prompts

PACKAGES = ("apache-beam", "diffusers", "torch", "rembg", "onnxruntime", "numpy", "pillow")

_ROOT = Path(__file__).parents[1]
_CATALOGUE = _ROOT / "demo/catalogue"
# Products of a round: 24 pictures each, so that both sides make more than 500.
_ROUND, _ROUNDS = 12, 2
_SMALL, _LARGE = 2, 8
_FEEDS = {"csv": 1_000_000, "parquet": 1_000_000, "jsonl": 200_000, "xml": 200_000}
_ROW_BYTES = 200
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
        yield from _feed(suffix, count)


@dataclass(frozen=True, slots=True)
class _Job:
    """What a job did, the seconds it took, those to its first picture, and what came how fast behind that."""

    report: GenerateReport
    wall_s: float
    start_s: float
    pictures: int
    seconds: float


def _overhead(folder: Path, items: Sequence[str]) -> Row:
    """By the difference of a large and a small job, which both start once."""
    small, large = (_job(folder / f"share-{count}", items[:count], workers=1) for count in (_SMALL, _LARGE))
    wall = large.wall_s - small.wall_s
    spent = {name: seconds - small.report.seconds.get(name, 0.0) for name, seconds in large.report.seconds.items()}
    work = sum(spent.pop(name) for name in _WORK)
    parts = ", ".join(f"{name} {seconds / wall:.1%}" for name, seconds in sorted(spent.items()))
    note = f"one process, {large.report.made - small.report.made} pictures in {wall:.0f} s; {parts}"
    return at_most("share of the job outside model and image work", 1 - work / wall, "", _SHARE, note=note)


def _processes(folder: Path, items: Sequence[str]) -> Iterator[Row]:
    loops: list[tuple[int, float]] = []
    jobs: list[_Job] = []
    for number in range(_ROUNDS):
        part = items[number * _ROUND : (number + 1) * _ROUND]
        loops.append(_plain(folder / f"plain-{number}", part))
        jobs.append(_job(folder / f"job-{number}", part, workers=2))
    pictures = sum(job.pictures for job in jobs)
    mine = pictures / sum(job.seconds for job in jobs)
    plain = sum(count for count, _ in loops) / sum(seconds for _, seconds in loops)
    note = (
        f"{pictures} pictures at {mine:.2f}/s beside {plain:.2f}/s, from the first to the last of {_ROUND} products, "
        f"the wait for the last one included; {_ROUNDS} rounds in turn; one BLAS and one ONNX thread each"
    )
    yield at_least("two processes / a plain loop in one, pictures a second", mine / plain, "x", _SPEED, note=note)
    start = sum(job.start_s for job in jobs) / len(jobs)
    yield Row("start of such a job, to its first picture", start, "s", note="planning, two processes, their models")


def _feed(suffix: str, count: int) -> Iterator[Row]:
    found = json.loads(last_line(["benchmarks.generation_feed", suffix, str(count)]))
    note = f"{found['seconds']:.0f} s"
    yield Row(f"catalogue of {found['rows']:,} rows, {suffix}", found["rows"] / found["seconds"], "rows/s", note=note)
    grown = found["bytes"] / count
    note = "the ids, to find repeated ones; rows are longer than that"
    yield at_most("the same: memory that grows with it", grown, "B a row", _ROW_BYTES, note=note)


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


def _job(folder: Path, items: Sequence[str], *, workers: int) -> _Job:
    seen: list[tuple[float, int]] = []

    def watch(now: Progress) -> None:
        if now.done and (not seen or now.done > seen[-1][1]):
            seen.append((time.perf_counter(), now.done))

    begun = time.perf_counter()
    report = run(replace(_config(folder, items), workers=workers), watch)
    wall_s = time.perf_counter() - begun
    (first_s, first), (last_s, last) = seen[0], seen[-1]
    return _Job(report, wall_s, first_s - begun, last - first, last_s - first_s)


def _plain(folder: Path, items: Sequence[str]) -> tuple[int, float]:
    """Pictures behind the first, and the seconds they took."""
    path = folder.with_suffix(".json")
    path.write_text(_config(folder, items).to_json())
    found = json.loads(last_line(["benchmarks.plain_generation", str(path)]))
    return found["pictures"], found["seconds"]
