"""The process that holds one Beam job; ``run`` starts it, and starts it again when it ends.

It is crash-only: any failure ends the process, and the next one begins at the stored low watermark.
"""

import gc
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType

import apache_beam as beam
import structlog
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from beam_pipelines.learn.config import LearnConfig
from beam_pipelines.learn.job import build
from beam_pipelines.learn.job_server import JobServer
from beam_pipelines.learn.positions import Start
from beam_pipelines.learn.runners import runner_of
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
    # Beam warns of options that only the job server knows.
    logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(config.log_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return run_job(config, start, Dataset.parse(order["dataset"]), stop)


def run_job(config: LearnConfig, start: Start, dataset: Dataset, stop: threading.Event) -> int:
    """Run the job on a job server of its own until ``stop`` is set (0) or it fails (1).

    The server keeps its files in this process's folder of temporary files, and is killed with the process.
    """
    server = JobServer(runner_of(config), Path(tempfile.gettempdir()), log_level=config.log_level)
    server.start()
    pipeline = beam.Pipeline(options=PipelineOptions(server.options))
    build(pipeline, config, start, dataset)
    result = pipeline.run()
    # What is loaded by now stays. Counted out, it does not put off the collection of what comes and goes.
    gc.collect()
    gc.freeze()
    _log.info("job_started", lineage=config.lineage, reading=[str(found) for found in start.reading])
    status, upkeep = Status(config, start.archived), Upkeep(config)
    while not stop.wait(config.status_interval_s):
        if not server.is_running:
            _log.error("job_server_ended", runner=config.runner, lineage=config.lineage)
            return FAILED
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


if __name__ == "__main__":
    status = FAILED
    try:
        status = main()
    except Exception:
        _log.exception("worker_failed")
    sys.stderr.flush()
    # Nothing of Beam's threads needs an orderly end, and some never end by themselves.
    os._exit(status)
