"""A Redis, an archive, a learner and its traffic, all real."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from beam_pipelines.learn import LearnConfig
from contracts import LineageSettings, UnavailableError
from stores.connect import connect
from stores.dead_letters import DeadLetters
from stores.embedded import EmbeddedRedis
from stores.objects import FileObjectStore
from stores.redis_log import RedisEventLog
from stores.statistics import StatisticsStore
from tests.beam_pipelines.processes import eventually, job_servers, start_learner, workers
from tests.chaos.facts import LINEAGE, SCHEMA, D
from tests.chaos.traffic import Traffic

PARTITIONS = 4
PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class Form:
    """How long things last: windows in ms; traffic before the moment of a happening (least, most) and after it in s."""

    window_ms: int
    attribution_ms: int
    grace_ms: int
    archive_ms: int
    before_s: tuple[float, float]
    after_s: float

    @property
    def settings(self) -> LineageSettings:
        """The lineage's; forgetting is on, so that each window that is closed changes every bit."""
        return LineageSettings(
            SCHEMA,
            D,
            window_ms=self.window_ms,
            attribution_ms=self.attribution_ms,
            grace_ms=self.grace_ms,
            shards=4,
            gamma=0.97,
        )


FULL = Form(10_000, 20_000, 5_000, archive_ms=5_000, before_s=(1.0, 8.0), after_s=5.0)
SHORT = Form(1_000, 2_000, 500, archive_ms=1_000, before_s=(0.5, 2.0), after_s=1.0)


class World:
    """Everything that a round needs; ``learner`` is the one that is expected to run."""

    def __init__(self, folder: Path, form: Form, prism: str, *, rate: int, seed: int) -> None:
        self.form = form
        self.folder = folder
        self.server = EmbeddedRedis(folder / "redis")
        self.server.start()
        self.client = connect(self.server.url)
        self.log = RedisEventLog(self.client, PARTITIONS)
        self.store = StatisticsStore(self.client, LINEAGE)
        self.letters = DeadLetters(self.client)
        self.objects = FileObjectStore(folder / "archive")
        # An attempt that was not answered for must be known as one: this client does not try again by itself.
        patient = RedisEventLog(connect(self.server.url, retries=0), PARTITIONS)
        self.traffic = Traffic(patient, form.settings, rate=rate, seed=seed)
        self._config = LearnConfig(
            self.server.url,
            LINEAGE,
            form.settings,
            prism,
            partitions=PARTITIONS,
            flush_ms=min(500, form.window_ms // 5),
            archive_uri=str(folder / "archive"),
            archive_ms=form.archive_ms,
            status_interval_s=0.5,
        )
        self._output = (folder / "learner.log").open("ab")
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def learner(self) -> "subprocess.Popen[bytes]":
        """The learner last started."""
        return self._started[-1]

    def __enter__(self) -> Self:
        """Start the first learner."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self.traffic.stop()
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.client.close()
        self.server.stop()
        self._output.close()

    def start(self, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start a learner."""
        self._started.append(start_learner(self._config, environment=environment, output=self._output))
        return self._started[-1]

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """End a learner as a crash would; its worker and Prism die with it."""
        process.kill()
        process.wait()
        self._started.remove(process)

    def end(self) -> None:
        """Ask the learner to end."""
        learner = self._started.pop()
        learner.terminate()
        assert learner.wait(30) == 0, f"the learner ended with status {learner.returncode}"

    def kill_below(self, *, worker: bool = False, prism: bool = False) -> None:
        """End processes below the learner as a crash would."""
        pids = [*(workers(self.learner.pid) if worker else ()), *(job_servers(self.learner.pid) if prism else ())]
        assert pids, "the learner has no such process"
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                # The worker's end has taken its Prism along.
                continue

    def until_running(self) -> None:
        """Wait until the learner's job runs, with a worker of its own."""

        def runs() -> bool:
            try:
                pid = self.store.status().get("pid")
            except UnavailableError:
                return False
            return pid in {str(pid) for pid in workers(self.learner.pid)}

        eventually("the learner runs its job", runs, within_s=PATIENCE_S)

    def until_folding(self) -> None:
        """Wait until what is appended from now on is folded and published (there must be traffic)."""

        def passed() -> bool:
            try:
                return self.store.low_watermark() > moment
            except UnavailableError:
                return False

        moment = self.log.clock_ms()
        eventually("the learner goes on", passed, within_s=PATIENCE_S)

    def pass_s(self, seconds: float) -> None:
        """Let traffic go on."""
        time.sleep(seconds)
