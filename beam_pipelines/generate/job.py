"""The generation job itself, in one process: plan, Beam pipeline, publication. Run by ``run`` as a child."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.generate.config import GenerateConfig, GenerateReport, Progress
from beam_pipelines.generate.manifest import read_manifest, write_dead
from beam_pipelines.generate.photos import PhotoSource
from beam_pipelines.generate.plan import Plan, make_plan
from beam_pipelines.generate.publish import publish, references, tags_of
from beam_pipelines.generate.render import NAMESPACE, WORKER_MARK, GenerateCreatives, RenderSettings
from contracts import BackdropError
from generation import FetchLimits, PhotoFetcher, check_weights, open_backend
from stores import CreativeIndex, ObjectStore, PolicyStore, connect, open_objects

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_DEAD = "dead_"

Tell = Callable[[Progress], None]


def run_job(config: GenerateConfig, tell: Tell, progress_folder: str = "") -> GenerateReport:
    """Do one generation run in this process (and the runner's workers).

    Raises:
        InvalidInputError: if an input file cannot be used.
        SetupError: if the segmentation weights are missing.
        StoreError: if the object store or Redis fails.
    """
    tell(Progress(0, 0, "planning"))
    objects = open_objects(config.objects_uri, config.media_base_url)
    backend = open_backend(config.backend, config.backend_options)
    fetcher = PhotoFetcher(FetchLimits(private_hosts=config.private_hosts))
    photos = PhotoSource(None if config.dry_run else objects, fetcher)
    plan = make_plan(config, backend, photos, read_manifest(objects), objects.list("creatives/"))
    counts: dict[str, int] = {}
    for row in plan.dead:
        counts[_DEAD + row.reason] = counts.get(_DEAD + row.reason, 0) + 1
    published = 0
    if not config.dry_run:
        if plan.dead:
            write_dead(objects, plan.dead)
        if plan.tasks:
            check_weights(Path(config.weights), config.segmenter_model)
            tell(Progress(0, plan.planned, "rendering"))
            for name, value in _render(config, plan, progress_folder).items():
                counts[name] = counts.get(name, 0) + value
        tell(Progress(plan.planned, plan.planned, "publishing"))
        published = _publish(config, plan, objects)
    return GenerateReport(
        planned=plan.planned,
        made=counts.get("made", 0),
        skipped=plan.skipped + counts.get("existed", 0),
        retried=counts.get("retried", 0),
        rejected=counts.get("rejected", 0),
        published=published,
        dead_letters={n.removeprefix(_DEAD): v for n, v in sorted(counts.items()) if n.startswith(_DEAD)},
    )


def _render(config: GenerateConfig, plan: Plan, progress_folder: str) -> dict[str, int]:
    settings = RenderSettings(
        objects_uri=config.objects_uri,
        weights=config.weights,
        backend=config.backend,
        backend_options=dict(config.backend_options),
        attempts=config.attempts,
        rows_per_part=config.rows_per_part,
        progress=progress_folder,
        gate=dict(config.gate),
        segmenter=config.segmenter_model,
    )
    workers = min(config.workers, len(plan.tasks))
    with _one_thread_each(workers):
        pipeline = beam.Pipeline(options=_options(config, workers))
        create: Any = beam.Create
        tasks = pipeline | "Tasks" >> create([task.to_bytes() for task in plan.tasks])
        _ = tasks | GenerateCreatives(settings)
        result: Any = pipeline.run()
        result.wait_until_finish()
    return _counts(result)


def _options(config: GenerateConfig, workers: int) -> PipelineOptions:
    if config.runner_options:
        return PipelineOptions(list(config.runner_options))
    mode = "multi_processing" if workers > 1 else "in_memory"
    flags = ["--runner=FnApiRunner", f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"]
    return PipelineOptions(flags)


@contextmanager
def _one_thread_each(workers: int) -> Iterator[None]:
    """Let worker processes inherit one computing thread each, and the marks they need."""
    changes = {name: "1" for name in _THREAD_VARIABLES}
    if workers > 1:
        changes[WORKER_MARK] = "1"
        changes["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _counts(result: Any) -> dict[str, int]:
    counters = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    return {counter.key.metric.name: int(counter.result) for counter in counters}


def _publish(config: GenerateConfig, plan: Plan, objects: ObjectStore) -> int:
    if not config.redis_url:
        return 0
    refs = references(plan.wanted, read_manifest(objects), objects)
    client = connect(config.redis_url)
    try:
        # A run that leaves prompts out must not take their pictures away.
        published = publish(CreativeIndex(client), refs, whole=not config.only)
        policies = PolicyStore(client)
        for category, tags in tags_of(plan.wanted).items():
            policies.register_arms(category, tags)
        return published
    finally:
        client.close()


def main(folder: Path) -> int:
    """Run the job that ``folder``/config.json describes; leaves report.json or error.txt there."""
    config = GenerateConfig.from_json((folder / "config.json").read_text())

    def tell(progress: Progress) -> None:
        partial = folder / "phase.part"
        partial.write_text(f"{progress.planned} {progress.phase}")
        partial.replace(folder / "phase")

    try:
        report = run_job(config, tell, str(folder / "done"))
    except BackdropError as error:
        (folder / "error.txt").write_text(f"{type(error).__name__}\n{error}")
        return 1
    (folder / "report.json").write_text(report.to_json())
    return 0
