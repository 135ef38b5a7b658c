"""The learner as a process: check, start a worker, start it again when it fails, end it when asked."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import structlog

from beam_pipelines.learn.config import LearnConfig
from beam_pipelines.learn.metrics import serving_metrics
from beam_pipelines.learn.positions import Start, start_of
from beam_pipelines.learn.runners import runner_of
from beam_pipelines.learn.scratch import scratch_folder
from beam_pipelines.learn.sight import Sight
from contracts import UnavailableError
from stores.child import start_child
from stores.connect import connect
from stores.dead_letters import DeadLetters
from stores.lineages import LineageStore
from stores.objects import open_objects
from stores.redis_log import RedisEventLog
from stores.statistics import StatisticsStore

_POLL_S = 0.1
_LOOK_TIMEOUT_S = 1.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
# A job that ran this long was healthy: the next failure is a new one.
_HEALTHY_S = 30.0
_KILLED = -int(signal.SIGKILL)
# Frames of megabytes pass through some twenty threads: glibc would keep each thread's and never give them back.
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "262144",
    "MALLOC_TRIM_THRESHOLD_": "262144",
    # Products are small, and the other processors have work.
    "OPENBLAS_NUM_THREADS": "1",
}

_log = structlog.get_logger("learn")


def run(config: LearnConfig, stop: threading.Event | None = None) -> None:
    """Learn until SIGTERM, SIGINT or ``stop``, or until a replay is done; call it from the main thread.

    Every start, the first and any after a failure, begins at the stored low watermark. While Redis does not
    answer it waits. Where Redis has lost what was in it, the worker is started again from what is stored; entries
    that were seen and are in no store any more are logged, and go to the dead letters.

    Raises:
        LineageError: if the lineage was begun with other settings or for another purpose, or is retired.
        SettingsError: if the log has another number of partitions, or metrics cannot be served where they should.
        GapError: if the event log no longer holds what must be read.
        SetupError: if the runner, or something that it needs, is missing.
    """
    runner_of(config).check()
    ending = stop or threading.Event()
    pause_s = _FIRST_PAUSE_S
    sight = Sight()
    with _signals(ending), serving_metrics(config) as counts:
        while not ending.is_set():
            began = time.monotonic()
            try:
                order = _prepare(config, sight)
            except UnavailableError as error:
                _log.warning("waiting_for_redis", error=str(error), pause_s=pause_s)
            else:
                with scratch_folder() as scratch:
                    status = _watch(_start(order, scratch), config, sight, ending)
                if ending.is_set():
                    return
                if config.ends and status == 0:
                    _finish(config)
                    return
                counts.restarts += 1
                _log.warning("worker_ended", status=status, lineage=config.lineage, pause_s=pause_s)
            if time.monotonic() - began > _HEALTHY_S:
                pause_s = _FIRST_PAUSE_S
            ending.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _prepare(config: LearnConfig, sight: Sight) -> bytes:
    """Check the lineage and the log; returns what the worker is told."""
    with connect(config.redis_url) as client:
        store, log = StatisticsStore(client, config.lineage), RedisEventLog(client, config.partitions)
        log.require_partitions()
        store.begin(config.settings, replay_to_ms=config.until_ms if config.ends else None)
        objects = open_objects(config.archive_uri) if config.archive_uri else None
        # Before the low watermark is read: should it change from here on, the worker's writes are refused.
        dataset = sight.settle(store, log, objects, DeadLetters(client))
        start: Start = start_of(store, log, config.settings, objects, archives=not config.ends)
    return json.dumps(
        {
            "config": config.to_json(),
            "dataset": str(dataset),
            "reading": [str(position) for position in start.reading],
            "archived": [str(position) for position in start.archived],
        }
    ).encode()


def _finish(config: LearnConfig) -> None:
    with connect(config.redis_url) as client:
        LineageStore(client).finish_replay(config.lineage)


def _start(order: bytes, scratch: Path) -> subprocess.Popen[bytes]:
    child = start_child(
        [sys.executable, "-m", "beam_pipelines.learn.worker"],
        on_parent_death=signal.SIGKILL,
        stdin=subprocess.PIPE,
        environment={"TMPDIR": str(scratch)}
        | {name: value for name, value in _ALLOCATOR.items() if name not in os.environ},
    )
    if child.stdin is not None:
        with child.stdin as pipe:
            pipe.write(order)
    return child


def _watch(child: subprocess.Popen[bytes], config: LearnConfig, sight: Sight, ending: threading.Event) -> int:
    """Wait for the worker, and end it where Redis is no longer what it was at the start.

    Once ``ending`` is set, ask it to end, and kill it where it does not.
    """
    try:
        with connect(config.redis_url, timeout_s=_LOOK_TIMEOUT_S, retries=0) as client:
            store, log = StatisticsStore(client, config.lineage), RedisEventLog(client, config.partitions)
            look_s = time.monotonic()
            while not ending.wait(_POLL_S):
                if child.poll() is not None:
                    return child.returncode
                if time.monotonic() >= look_s:
                    look_s = time.monotonic() + config.status_interval_s
                    try:
                        changed = sight.look(store, log)
                    except UnavailableError:
                        continue
                    if changed:
                        return _KILLED
        child.terminate()
        try:
            return child.wait(config.grace_period_s)
        except subprocess.TimeoutExpired:
            _log.warning("worker_killed", pid=child.pid, grace_s=config.grace_period_s)
            return _KILLED
    finally:
        # Its job server dies with it: the kernel sees to that.
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()


@contextmanager
def _signals(ending: threading.Event) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into ``ending`` where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(_signal: int, _frame: FrameType | None) -> None:
        ending.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
