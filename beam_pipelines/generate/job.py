"""The generation job itself, in one process: chunks of the catalogue, then pipelines. Run by ``run`` as a child."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from beam_pipelines.generate.config import IN_PROCESS, GenerateConfig, GenerateReport, PlanCounts, Progress
from beam_pipelines.generate.existing import gather, write_existing
from beam_pipelines.generate.intake import Chunk, Intake
from beam_pipelines.generate.merge import merge_parts
from beam_pipelines.generate.own_objects import leased, new_prefix, remove_dead
from beam_pipelines.generate.photos import PhotoSource
from beam_pipelines.generate.pipeline import CountPictures, GenerateCreatives
from beam_pipelines.generate.plan import CATEGORY, PLACEMENT
from beam_pipelines.generate.publish import register_arms
from beam_pipelines.generate.runners import opened
from beam_pipelines.generate.settings import Inputs, StageSettings
from beam_pipelines.generate.tally import prepare_tally
from beam_pipelines.generate.worker_watch import watched_workers
from contracts import BackdropError, SystemClock
from generation import (
    FetchLimits,
    GateSettings,
    PhotoFetcher,
    check_prompts,
    check_weights,
    open_backend,
    pinned_options,
    read_placements,
    read_prompts,
)
from stores import ObjectStore, PolicyStore, connect, open_objects

_DEAD, _TIME = "dead_", "_ms"
_SMALL, _LARGE, _DEAD_RUNS = "parts_merged", "merged_parts", "dead_runs_removed"
# Below this many products, planning is done before a second process has started.
_FEW = 2_000

Tell = Callable[[Progress], None]


def run_job(config: GenerateConfig, tell: Tell, folder: Path | None = None) -> GenerateReport:
    """Do one generation run in this process (and the runner's workers); ``folder`` takes its own files.

    Raises:
        InvalidInputError: if an input file cannot be used.
        SetupError: if the segmentation weights, the model or the runner are missing.
        StoreError: if the object store or Redis fails.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="backdrop-generate-") as name:
            prepare_tally(Path(name))
            return run_job(config, tell, Path(name))
    tell(Progress(0, 0, "planning"))
    if config.dry_run:
        # Nothing is made: this machine does, and nothing need be carried to others.
        config = replace(config, runner=IN_PROCESS, runner_options=())
    with _plans(config, folder) as (plans, uri, prefix):
        objects = open_objects(config.objects_uri, config.media_base_url)
        # Refused here, what cannot be used is one sentence, not a failed job.
        book = read_prompts(Path(config.prompts))
        read_placements(Path(config.placements))
        GateSettings.from_options(config.gate)
        # Workers may be elsewhere and start later: they open the very model that pictures are named after here.
        config = replace(config, backend_options=pinned_options(config.backend, config.backend_options))
        backend = open_backend(config.backend, config.backend_options)
        for prompts in book.prompts.values():
            check_prompts(prompts, backend)
        carried = PhotoSource(objects, PhotoFetcher(_limits(config)), keep_files=True)
        intake = Intake(
            config,
            book,
            plans,
            prefix,
            letters=None if config.dry_run else objects,
            carried=carried if config.runner_options else None,
        )
        chunks = tuple(intake.chunks())
        existing = write_existing(gather(objects), plans, prefix)
        settings = _settings(config, uri, existing, tuple(sorted(intake.arms)), folder)
        counts = Counter({_DEAD + reason: number for reason, number in intake.dead.items()})
        if not config.dry_run:
            counts[_DEAD_RUNS] += remove_dead(objects, SystemClock())
        counts += _run(config, settings, chunks, tell, folder)
    if not config.dry_run:
        merged = merge_parts(objects)
        counts.update({_SMALL: merged.small, _LARGE: merged.large})
    return _report(counts)


@contextmanager
def _plans(config: GenerateConfig, folder: Path) -> Iterator[tuple[ObjectStore, str, str]]:
    """Where this run's own objects are: their store, its URI and the beginning of their paths.

    Runners on this machine find them in ``folder``, others in the object store.
    """
    prefix = new_prefix()
    if not config.runner_options:
        uri = str(folder / "plans")
        yield open_objects(uri), uri, prefix
        return
    plans = open_objects(config.objects_uri)
    with leased(plans, prefix, SystemClock()):
        yield plans, config.objects_uri, prefix


def _run(
    config: GenerateConfig, settings: StageSettings, chunks: Sequence[Chunk], tell: Tell, folder: Path
) -> Counter[str]:
    """Run the pipelines; returns their counters, summed."""
    inputs = settings.inputs()
    products: Counter[str] = Counter()
    for chunk in chunks:
        products.update(chunk.categories)
    total = products.total()
    counts: Counter[str] = Counter()
    if not total:
        return counts
    planned = sum(inputs.pictures(category) * number for category, number in products.items())
    if not config.dry_run:
        check_weights(Path(config.weights), config.segmenter_model)
        _register(config, inputs, sorted(products))
        tell(Progress(0, planned, "rendering"))
    workers = 1 if config.dry_run and total <= _FEW else min(config.workers, total)
    transform = CountPictures(settings) if config.dry_run else GenerateCreatives(settings)
    wave = len(chunks) if config.runner_options else config.wave
    with opened(config, workers, folder) as options:
        for start in range(0, len(chunks), wave):
            counts += options.run(transform, [chunk.path for chunk in chunks[start : start + wave]])
    if not config.dry_run:
        tell(Progress(planned, planned, "finished"))
    return counts


def _settings(
    config: GenerateConfig, plans_uri: str, existing: tuple[str, ...], arms: tuple[str, ...], folder: Path
) -> StageSettings:
    hints = {name: value for name in ("min_ram", "accelerator") if (value := getattr(config, name))}
    return StageSettings(
        objects_uri=config.objects_uri,
        media_base_url=config.media_base_url,
        redis_url=config.redis_url,
        plans_uri=plans_uri,
        existing=existing,
        prompts=Path(config.prompts).read_text(encoding="utf-8"),
        placements=Path(config.placements).read_text(encoding="utf-8"),
        folder=str(Path(config.catalogue).parent.resolve()),
        weights=config.weights,
        segmenter=config.segmenter_model,
        backend=config.backend,
        backend_options=dict(config.backend_options),
        gate=dict(config.gate),
        attempts=config.attempts,
        batch=config.batch,
        rows_per_part=config.rows_per_part,
        arms=arms,
        whole=not config.only,
        dry_run=config.dry_run,
        private_hosts=config.private_hosts,
        progress="" if config.runner_options else str(folder),
        shared=config.backend_options.get("device", "cpu") != "cpu",
        hints=hints,
    )


def _register(config: GenerateConfig, inputs: Inputs, categories: Sequence[str]) -> None:
    if config.redis_url:
        client = connect(config.redis_url)
        try:
            register_arms(PolicyStore(client), inputs, categories)
        finally:
            client.close()


def _limits(config: GenerateConfig) -> FetchLimits:
    return FetchLimits(private_hosts=config.private_hosts)


def _report(counts: Counter[str]) -> GenerateReport:
    return GenerateReport(
        planned=counts["pictures"],
        made=counts["made"],
        skipped=counts["existing"] + counts["existed"],
        retried=counts["retried"],
        rejected=counts["rejected"],
        published=counts["published"],
        dead_letters=_named(counts, _DEAD),
        counts=PlanCounts(
            products=counts["products"],
            pictures=counts["pictures"],
            painted=counts["painted"],
            existing=counts["existing"],
            pixels=counts["pixels"],
            by_placement=_named(counts, PLACEMENT),
            by_category=_named(counts, CATEGORY),
        ),
        upkeep={name: counts[name] for name in (_SMALL, _LARGE, _DEAD_RUNS) if counts[name]},
        seconds={
            name.removesuffix(_TIME): number / 1000 for name, number in sorted(counts.items()) if name.endswith(_TIME)
        },
    )


def _named(counts: Counter[str], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): number for name, number in sorted(counts.items()) if name.startswith(prefix)}


def main(folder: Path) -> int:
    """Run the job that ``folder``/config.json describes; leaves report.json or error.txt there."""
    config = GenerateConfig.from_json((folder / "config.json").read_text())

    def tell(progress: Progress) -> None:
        partial = folder / "phase.part"
        partial.write_text(f"{progress.planned} {progress.phase}")
        partial.replace(folder / "phase")

    def give_up(why: str) -> None:
        (folder / "error.txt").write_text(f"{BackdropError.__name__}\n{why}")
        # Whoever started this process ends the other workers with it.
        os._exit(1)

    try:
        with watched_workers(give_up):
            report = run_job(config, tell, folder)
    except BackdropError as error:
        (folder / "error.txt").write_text(f"{type(error).__name__}\n{error}")
        return 1
    (folder / "report.json").write_text(report.to_json())
    return 0
