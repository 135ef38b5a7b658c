"""The learner as real processes on a runner (--runner): killed, its log trimmed, Redis restarted; then identical."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beam_pipelines.learn import LearnConfig
from beam_pipelines.replay import compare
from contracts import ORIGIN, Fact, LineageSettings, Position, UnavailableError
from demo.measure import descendants
from stores.archive import archived_through, write_archive
from stores.connect import connect
from stores.dead_letters import DeadLetters
from stores.embedded import EmbeddedRedis
from stores.objects import FileObjectStore
from stores.redis_log import RedisEventLog
from stores.statistics import StatisticsStore
from tests.beam_pipelines.facts import LINEAGE, SCHEMA, batch, click_on, decision
from tests.beam_pipelines.processes import alive, eventually, job_servers, runner_path, start_learner

PARTITIONS = 2
SETTINGS = LineageSettings(SCHEMA, 3, window_ms=1_000, attribution_ms=2_000, grace_ms=500, shards=2)


class Traffic:
    """Facts as servers append them: clicks apart from impressions, some twice, some too late, some poison."""

    def __init__(self, log: RedisEventLog) -> None:
        self._log = log
        self._rng = random.Random(7)
        self._seed = 0
        self._waiting: list[tuple[float, Fact]] = []
        self.poisoned = 0

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._append(self._some_facts())
            time.sleep(0.04)

    def _some_facts(self) -> list[Fact]:
        facts: list[Fact] = []
        now_ms = self._log.clock_ms()
        for _ in range(self._rng.randrange(1, 30)):
            self._seed += 1
            at = now_ms - self._rng.randrange(0, 1_500) + (5_000 if self._rng.random() < 0.01 else 0)
            shown = decision(at, self._seed, category=self._rng.choice(("lamps", "chairs", "rare")))
            facts.append(shown)
            if self._rng.random() < 0.2:
                facts.append(shown)
            if self._rng.random() < 0.2:
                delay_s = self._rng.choice((0.0, 0.3, 1.0, 3.0, 5.0))
                self._waiting.append((time.monotonic() + delay_s, click_on(shown, at + int(delay_s * 1000))))
        due = [fact for moment, fact in self._waiting if moment <= time.monotonic()]
        self._waiting = [pair for pair in self._waiting if pair[0] > time.monotonic()]
        return facts + due

    def _append(self, facts: list[Fact]) -> None:
        blob = batch(facts)
        if self._rng.random() < 0.02:
            self.poisoned += 1
            blob = blob[: len(blob) // 2]
        for _ in range(2 if self._rng.random() < 0.05 else 1):
            while True:
                try:
                    self._log.append(self._rng.randrange(PARTITIONS), [blob])
                    break
                except UnavailableError:
                    time.sleep(0.1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as started:
        yield started


@pytest.fixture
def learner(
    server: EmbeddedRedis, tmp_path: Path, pytestconfig: pytest.Config
) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    runner = str(pytestconfig.getoption("--runner"))
    config = LearnConfig(
        server.url,
        LINEAGE,
        SETTINGS,
        runner_path(runner),
        runner=runner,
        partitions=PARTITIONS,
        flush_ms=200,
        archive_uri=str(tmp_path / "archive"),
        archive_ms=1_000,
        status_interval_s=0.3,
        log_level="ERROR",
    )
    started: list[subprocess.Popen[bytes]] = []
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def start() -> subprocess.Popen[bytes]:
        started.append(start_learner(config, environment={"TMPDIR": str(temporary)}))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            assert process.wait(30) == 0


@pytest.mark.slow
def test_killed_and_restarted_learners_end_identical_to_the_replay(
    server: EmbeddedRedis, learner: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    client = connect(server.url)
    log = RedisEventLog(client, PARTITIONS)
    store = StatisticsStore(client, LINEAGE)
    traffic = Traffic(log)

    def folded() -> int:
        return sum(found.total for found in store.facts().values())

    def goes_on(what: str) -> None:
        before = folded()
        deadline = time.monotonic() + 60
        while folded() <= before:
            assert time.monotonic() < deadline, what
            traffic.run(0.3)

    first = learner()
    goes_on("the first learner folds")
    traffic.run(2)
    below = descendants(first.pid)
    assert len(below) >= 2
    first.kill()
    first.wait()
    eventually("worker and job server die with the learner", lambda: not any(map(alive, below)), within_s=10)
    traffic.run(1)

    objects = FileObjectStore(tmp_path / "archive")
    for partition in range(PARTITIONS):
        archived = archived_through(objects, partition, ORIGIN)
        write_archive(objects, log.read(partition, archived, 10_000).entries, after=archived)
        assert log.trim(partition, Position(1 << 60, 0)) > 0
    second = learner()
    goes_on("a new learner goes on")
    for pid in job_servers(second.pid):
        os.kill(pid, signal.SIGKILL)
    traffic.run(1)
    goes_on("the learner starts its job again when its job server died")

    server.restart()
    goes_on("the learner starts its job again when Redis is another process")
    traffic.run(1)

    outcome = compare(store, log, objects, patience_s=60)
    assert outcome.differences == ()
    assert outcome.identical
    assert outcome.windows_closed >= 5
    assert outcome.facts == folded() > 500

    tally = store.tally()
    assert tally["counting"] > outcome.facts
    assert tally["early"] > 0
    assert tally["unattributed"] > 0
    # A poisonous entry appended twice is two entries, each a dead letter of its own.
    assert DeadLetters(client).count_by_reason().get("undecodable", 0) == tally.get("undecodable", 0)
    second.send_signal(signal.SIGINT)
    assert second.wait(30) == 0
    assert list((tmp_path / "temporary").iterdir()) == [], "whoever was killed leaves no files either"
