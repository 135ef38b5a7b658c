"""The learner as benchmarks run it: a Redis of its own, the real job in its own process, looked at from outside."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from backdrop.runners import find_flink, find_prism
from beam_pipelines.learn import FLINK, PRISM, ActivityConfig, LearnConfig
from benchmarks.traffic import LINEAGE, SCHEMA
from contracts import LineageSettings
from stores.child import start_child
from stores.connect import connect
from stores.embedded import EmbeddedRedis
from stores.redis_log import RedisEventLog
from stores.statistics import StatisticsStore

LEARNER = "import sys; from beam_pipelines.learn import LearnConfig, run; run(LearnConfig.from_json(sys.argv[1]))"
PLAIN = "from benchmarks.plain_job import main; main()"

D = 32
PARTITIONS = 4

_ROOT = Path(__file__).parents[1]
_PATIENCE_S = 600.0
_POLL_S = 0.02
_GRACE_S = 15.0


@dataclass(frozen=True, slots=True)
class Bench:
    """A running Redis with an event log and a lineage, and where things may be written."""

    url: str
    log: RedisEventLog
    store: StatisticsStore
    folder: Path
    redis_pid: int


def settings_of(**times: int) -> LineageSettings:
    """The lineage's settings; defaults of the design unless given."""
    return LineageSettings(SCHEMA, D, **times)


@contextmanager
def bench() -> Iterator[Bench]:
    """A Redis that ends, with everything in it, behind the block."""
    with TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as server:
        with connect(server.url) as client:
            log, store = RedisEventLog(client, PARTITIONS), StatisticsStore(client, LINEAGE)
            yield Bench(server.url, log, store, Path(folder), server.pid or 0)


@contextmanager
def learner(
    place: Bench,
    settings: LineageSettings,
    *,
    archive: bool = False,
    program: str = LEARNER,
    runner: str = PRISM,
    activity: str = "",
) -> Iterator[int]:
    """The job, running; yields its process id. ``program`` is Python that is told the job's settings.

    With a write plan (JSON) as ``activity``, it publishes user activity.
    """
    tools = _ROOT / ".backdrop" / "tools"
    config = LearnConfig(
        place.url,
        LINEAGE,
        settings,
        find_flink(tools) if runner == FLINK else find_prism(tools),
        runner=runner,
        partitions=PARTITIONS,
        archive_uri=str(place.folder / "archive") if archive else "",
        log_level="ERROR",
        activity=ActivityConfig(activity, str(place.folder / "objects")) if activity else None,
    )
    command = [sys.executable, "-c", program, config.to_json()]
    child = start_child(command, on_parent_death=signal.SIGKILL, folder=_ROOT)
    try:
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(_GRACE_S)
        finally:
            child.kill()


def wait_for(what: str, check: Callable[[], bool], *, poll_s: float = _POLL_S) -> float:
    """Wait until ``check`` holds; returns the moment (monotonic seconds) at which it was seen to.

    Raises:
        TimeoutError: naming ``what`` did not come.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while not check():
        if time.monotonic() > deadline:
            message = f"{what}: not within {_PATIENCE_S:.0f} s"
            raise TimeoutError(message)
        time.sleep(poll_s)
    return time.monotonic()


def is_prism(pid: int) -> bool:
    """Tell whether a process is a Prism job server."""
    return b"--job_port" in Path(f"/proc/{pid}/cmdline").read_bytes()


def cpu_s(pid: int) -> float:
    """Processor time (seconds) that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
