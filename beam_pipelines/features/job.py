"""One aggregation: cut the horizon, run the Beam batch job, say what came of it."""

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.features.config import MS_PER_DAY, AggregateConfig, AggregateReport
from beam_pipelines.features.slices import Slice, cut, horizon, since
from beam_pipelines.features.stages import CLICKED, FACTS, NAMESPACE, ROWS, SHOWN, AggregateLog, read_bands
from beam_pipelines.learn.source import RedisLogOpener
from contracts import GapError
from feature_repo import ensure_stats, load_aggregates

Tell = Callable[[int, int], None]
_LOOK_S = 0.2


def run(config: AggregateConfig, tell: Tell | None = None) -> AggregateReport:
    """Aggregate the log as of a time into the views' Parquet files; the same run again changes nothing.

    ``tell`` hears how many slices are done, of how many.

    Raises:
        GapError: if entries of the horizon are in neither archive nor live log.
        InvalidInputError: if aggregates.yaml cannot be used.
        SetupError: if a file cannot be read or written.
        UnavailableError: if a store does not answer.
    """
    aggregates = load_aggregates(Path(config.aggregates))
    # Refused here, an input that is missing is one sentence, not a failed job.
    read_bands(Path(config.folder) / "item_profile.parquet", config.as_of_ms, aggregates)
    ensure_stats(Path(config.folder), aggregates)
    whole = _present(config, horizon(config.as_of_ms, round(config.days * MS_PER_DAY), config.rules))
    slices = cut(whole, config.rules)
    counts = _run(config, slices, tell) if slices else {}
    return AggregateReport(
        first_ms=whole.first_ms,
        end_ms=whole.end_ms,
        shown=counts.get(SHOWN, 0),
        clicked=counts.get(CLICKED, 0),
        rows=_named(counts, ROWS),
        facts=_named(counts, FACTS),
    )


def _present(config: AggregateConfig, whole: Slice) -> Slice:
    """The part of the horizon that the log tells of."""
    log = RedisLogOpener(config.redis_url, config.partitions, config.archive_uri).open()
    for partition in range(config.partitions):
        try:
            log.require_whole(partition, whole.after(config.rules))
        except GapError as error:
            message = f"the last {config.days:g} days are not whole: {error}; or use fewer --days"
            raise GapError(message) from error
    kept = [first.append_ms for first in map(log.first, range(config.partitions)) if first is not None]
    return since(whole, min(kept, default=config.as_of_ms), config.rules)


def _run(config: AggregateConfig, slices: list[Slice], tell: Tell | None) -> dict[str, int]:
    # Beam warns of options that only another runner knows.
    logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
    options = list(config.runner_options) or ["--runner=FnApiRunner", "--direct_running_mode=in_memory"]
    with tempfile.TemporaryDirectory(prefix="backdrop-features-") as name, _told(Path(name), len(slices), tell) as done:
        pipeline = beam.Pipeline(options=PipelineOptions(options))
        create: Any = beam.Create
        elements = pipeline | "Slices" >> create([part.to_bytes() for part in slices])
        _ = elements | "AggregateLog" >> AggregateLog(config, str(done))
        result: Any = pipeline.run()
        result.wait_until_finish()
    counters = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    return {counter.key.metric.name: int(counter.result or 0) for counter in counters}


@contextmanager
def _told(folder: Path, total: int, tell: Tell | None) -> Iterator[Path]:
    """A file whose length is told while it grows."""
    path, ended = folder / "done", threading.Event()
    path.touch()

    def follow() -> None:
        while tell is not None:
            tell(path.stat().st_size, total)
            if ended.wait(_LOOK_S):
                tell(path.stat().st_size, total)
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield path
    finally:
        ended.set()
        thread.join()


def _named(counts: dict[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in sorted(counts.items()) if name.startswith(prefix)}
