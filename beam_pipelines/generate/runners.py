"""What a pipeline runs on: processes of this machine, a job server that is started for it, or Beam's own flags."""

import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from beam_pipelines.generate.config import FLINK, PRISM, GenerateConfig
from beam_pipelines.generate.lifeline import WORKER_MARK
from beam_pipelines.generate.tally import NAMESPACE
from beam_pipelines.learn.flink import Flink
from beam_pipelines.learn.job_server import JobServer, Runner
from beam_pipelines.learn.prism import Prism
from contracts import BackdropError, errors

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_LOG_LEVEL = "ERROR"
_OURS = re.compile(r"contracts\.errors\.(\w+): (.+?)(?: \[while running|\n|$)")


@dataclass(frozen=True, slots=True)
class Options:
    """The flags that this run's pipelines get."""

    flags: tuple[str, ...]

    def run(self, transform: "beam.PTransform[Any, Any]", paths: Sequence[str]) -> Counter[str]:
        """Run one pipeline over chunks to its end; returns its counters, and the sums of its distributions.

        A distribution ``x_ms`` is two entries: ``x_ms`` (its sum) and ``x_ms_count``.

        Raises:
            BackdropError: what a worker raised, under its own class.
        """
        pipeline = beam.Pipeline(options=PipelineOptions(list(self.flags)))
        create: Any = beam.Create
        chunks = pipeline | "Chunks" >> create(list(paths))
        _ = chunks | "Generate" >> transform
        try:
            result: Any = pipeline.run()
            state = str(result.wait_until_finish())
        except BackdropError:
            raise
        except Exception as error:
            raise _own(error) from error
        if state != PipelineState.DONE:
            message = f"the pipeline ended as {state}: what its runner wrote says why; run again to go on"
            raise BackdropError(message)
        return _counts(result)


@contextmanager
def opened(config: GenerateConfig, workers: int, scratch: Path) -> Iterator[Options]:
    """What pipelines of this run run on; a job server lives as long as this is open.

    Raises:
        SetupError: if the runner is missing or does not start.
    """
    # Beam warns of options that only another runner knows.
    logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
    with _one_thread_each(workers):
        if config.runner_options:
            yield Options(config.runner_options)
        elif config.runner in {PRISM, FLINK}:
            with _job_server(config, scratch) as flags:
                yield Options(tuple(flags))
        else:
            mode = "multi_processing" if workers > 1 else "in_memory"
            yield Options(("--runner=FnApiRunner", f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"))


@contextmanager
def _job_server(config: GenerateConfig, scratch: Path) -> Iterator[list[str]]:
    runner: Runner = Prism(config.runner_path) if config.runner == PRISM else Flink(config.runner_path)
    runner.check()
    server = JobServer(runner, scratch, log_level=_LOG_LEVEL)
    server.start()
    try:
        yield [*server.batch_options, "--job_name=backdrop-generate"]
    finally:
        server.kill()


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


def _own(error: Exception) -> Exception:
    """The error of ours that a worker's report, which is text, tells of; else the error itself."""
    found = _OURS.findall(str(error))
    if not found:
        return error
    name, message = found[-1]
    kind: type[BackdropError] = getattr(errors, name, BackdropError)
    return kind(message)


def _counts(result: Any) -> Counter[str]:
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    counts: Counter[str] = Counter()
    for counter in found["counters"]:
        counts[counter.key.metric.name] += int(counter.result or 0)
    for distribution in found["distributions"]:
        if distribution.result is not None:
            counts[distribution.key.metric.name] += int(distribution.result.sum)
            counts[f"{distribution.key.metric.name}_count"] += int(distribution.result.count)
    return counts
