"""The process that holds one Beam job; ``run`` starts it, and starts it again when it ends.

It is crash-only: any failure ends the process, and the next one begins at the stored low watermark.
"""

import json
import logging
import os
import signal
import sys
import threading
from types import FrameType

import apache_beam as beam
import structlog
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from beam_pipelines.learn.config import LearnConfig
from beam_pipelines.learn.job import build
from beam_pipelines.learn.positions import Start
from beam_pipelines.learn.prism import PrismServer
from beam_pipelines.learn.status import Status
from beam_pipelines.learn.upkeep import Upkeep
from contracts import Position
from stores.connect import connect
from stores.dataset import Dataset
from stores.statistics import StatisticsStore

_log = structlog.get_logger("learn")

FAILED = 1
_ENDED = frozenset({PipelineState.DONE, PipelineState.FAILED, PipelineState.CANCELLED})


def main() -> int:
    """Run one job, told on standard input, until SIGTERM (0) or its failure (1)."""
    order = json.loads(sys.stdin.buffer.read())
    config = LearnConfig.from_json(order["config"])
    start = Start(
        tuple(Position.parse(text) for text in order["reading"]),
        tuple(Position.parse(text) for text in order["archived"]),
    )
    stop = threading.Event()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    logging.basicConfig(level=config.log_level, stream=sys.stderr)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(config.log_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return run_job(config, start, Dataset.parse(order["dataset"]), stop)


def run_job(config: LearnConfig, start: Start, dataset: Dataset, stop: threading.Event) -> int:
    """Run the job on a Prism of its own until ``stop`` is set (0) or it fails (1); Prism ends with the process."""
    prism = PrismServer(config.prism_path, log_level=config.log_level)
    prism.start()
    pipeline = beam.Pipeline(options=options_for(prism.endpoint))
    build(pipeline, config, start, dataset)
    result = pipeline.run()
    _log.info("job_started", lineage=config.lineage, reading=[str(found) for found in start.reading])
    status, upkeep = Status(config, start.archived), Upkeep(config)
    while not stop.wait(config.status_interval_s):
        state = str(result.state)
        if state == PipelineState.DONE and config.ends:
            # All that was due by then is done, also where the last entry is long before it.
            store = StatisticsStore(connect(config.redis_url), config.lineage, dataset=dataset)
            store.raise_low_watermark(config.until_ms)
            return 0
        if state in _ENDED:
            _log.error("job_ended", state=state, lineage=config.lineage)
            return FAILED
        if upkeep.retired():
            _log.warning("lineage_retired", lineage=config.lineage)
            return FAILED
        upkeep.trim()
        if not config.ends:
            status.write(trimmed_entries=upkeep.trimmed)
    return 0


def options_for(endpoint: str) -> PipelineOptions:
    """Options of a streaming job on the Prism at ``endpoint``, with its worker in this process."""
    return PipelineOptions(
        [
            "--runner=PrismRunner",
            f"--job_endpoint={endpoint}",
            "--environment_type=LOOPBACK",
            "--streaming",
            # Prism 2.77 splits slow bundles of stateful stages, too, and hands the same elements of the same key to
            # two bundles at once: one's state is then lost (docs/adr/0004).
            "--experiments=prism_disable_sdf_split",
            "--job_name=backdrop-learn",
        ]
    )


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Prism is killed with this process, and nothing of Beam's threads needs an orderly end.
    os._exit(status)
