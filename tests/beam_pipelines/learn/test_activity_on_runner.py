"""User activity of real learners on a runner (--runner): killed, beside each other; rows are the oracle's."""

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beam_pipelines.learn import ActivityConfig, LearnConfig, progress_of
from contracts import ActivityRules, Fact, LineageSettings
from stores.connect import connect
from stores.embedded import EmbeddedRedis
from stores.objects import FileObjectStore
from stores.redis_log import RedisEventLog
from stores.statistics import StatisticsStore
from tests.beam_pipelines.activity_oracle import PLAN, counting, latest, put_by, rows_until, stored_rows
from tests.beam_pipelines.facts import LINEAGE, SCHEMA, batch, changed, click_on, decision
from tests.beam_pipelines.processes import eventually, runner_path, start_learner

PARTITIONS = 2
SETTINGS = LineageSettings(SCHEMA, 3, window_ms=2_000, attribution_ms=5_000, grace_ms=500, shards=2)
FLUSH_MS = 400
RULES = ActivityRules.of(SETTINGS, FLUSH_MS)
USERS = [f"user-{number}" for number in range(5)]


class Visits:
    """Facts as servers append them; ``appended`` holds each with the log's own time."""

    def __init__(self, log: RedisEventLog) -> None:
        self._log = log
        self._rng = random.Random(3)
        self._last: list[Fact] = []
        self._seed = 0
        self.appended: list[tuple[int, Fact]] = []

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now_ms = self._log.clock_ms()
            facts = [self._shown(now_ms) for _ in range(self._rng.randrange(1, 4))]
            facts += [click_on(shown, now_ms) for shown in self._last if self._rng.random() < 0.3]
            facts += [shown for shown in self._last if self._rng.random() < 0.2]
            self._last = (facts + self._last)[:8]
            (position,) = self._log.append(self._rng.randrange(PARTITIONS), [batch(facts)])
            self.appended += [(position.append_ms, fact) for fact in facts]
            time.sleep(0.05)

    def _shown(self, now_ms: int) -> Fact:
        self._seed += 1
        at_ms = now_ms - self._rng.choice((0, 20, 1_500, 6_000, 9_000))
        return changed(decision(at_ms, self._seed), user=self._rng.choice(USERS))


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
        status_interval_s=0.3,
        log_level="ERROR",
        activity=ActivityConfig(PLAN.to_json().decode(), str(tmp_path / "objects"), FLUSH_MS),
    )
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(start_learner(config))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            assert process.wait(30) == 0


@pytest.mark.slow
def test_killed_learners_and_two_at_once_write_the_rows_of_one_that_never_stopped(
    server: EmbeddedRedis, learner: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    client = connect(server.url)
    log, store = RedisEventLog(client, PARTITIONS), StatisticsStore(client, LINEAGE)
    objects = FileObjectStore(tmp_path / "objects")
    visits = Visits(log)

    def expected(until_ms: int) -> "list[tuple[int, str, int, int]]":
        return rows_until(counting(visits.appended, SETTINGS), until_ms, RULES)

    def rows_are_out() -> bool:
        """All rows due by the low watermark, and of later ones none but those that are due by now."""
        low_ms = store.low_watermark()
        stored = stored_rows(client, PLAN, USERS)
        due = expected(log.clock_ms())
        return progress_of(store, log).caught_up and all(
            any(stored.get(row[1]) == later for later in due if later[1] == row[1] and later >= row)
            for row in latest([row for row in due if row[0] <= low_ms]).values()
        )

    def is_published() -> bool:
        visits.run(0.3)
        return len(stored_rows(client, PLAN, USERS)) > 0

    first = learner()
    eventually("the first learner publishes", is_published)
    visits.run(3)
    first.kill()
    first.wait()
    visits.run(1)
    learner()
    visits.run(3)
    learner()
    visits.run(4)
    eventually("all rows are out", rows_are_out)
    # Everybody leaves: a row of zeros is each one's last, and all that there was lies there for training.
    ended_ms = (log.clock_ms() // RULES.bucket_ms + RULES.closed + 2) * RULES.bucket_ms
    everything = expected(ended_ms)
    eventually("the last row is out", lambda: stored_rows(client, PLAN, USERS) == latest(everything))
    assert {row[2:] for row in stored_rows(client, PLAN, USERS).values()} == {(0, 0)}
    eventually("all rows lie in the object store", lambda: len(put_by(objects)) >= len(everything))
    found = put_by(objects)
    assert found == everything
    assert len(found) > 50
    assert max(clicks for *_, clicks in found) > 1
