"""The source on a runner (--runner): no frame comes behind the watermark, however unevenly partitions are filled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from beam_pipelines.learn import LearnConfig
from contracts import LineageSettings, keys
from stores.connect import command
from stores.embedded import EmbeddedRedis
from stores.redis_log import FIELD, RedisEventLog
from tests.beam_pipelines.facts import LINEAGE, SCHEMA
from tests.beam_pipelines.late_frames import FIRED, LATE, SEEN
from tests.beam_pipelines.processes import ROOT, eventually, runner_path

PARTITIONS = 3
SETTINGS = LineageSettings(SCHEMA, 3, window_ms=2_000, attribution_ms=5_000, grace_ms=500, shards=2)
_CODE = "from tests.beam_pipelines.late_frames import main; main()"


@pytest.mark.slow
def test_a_partition_that_is_behind_holds_the_watermark_back(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Partition 1 has many slow bundles of frames to read, the others are at their end at once."""
    runner = str(pytestconfig.getoption("--runner"))
    began_ms = RedisEventLog(redis_client, PARTITIONS).clock_ms() - 60_000
    times = {0: [began_ms], 1: range(began_ms, began_ms + 20_000, 100), 2: []}
    for partition, appended in times.items():
        for append_ms in appended:
            command(redis_client, "XADD", keys.events(partition), f"{append_ms}-0", FIELD, b"x")
    config = LearnConfig(
        redis_server.url,
        LINEAGE,
        SETTINGS,
        runner_path(runner),
        runner=runner,
        partitions=PARTITIONS,
        entries_per_read=2,
        log_level="ERROR",
    )
    job = subprocess.Popen(
        [sys.executable, "-c", _CODE, config.to_json()],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    )

    def counted(name: str) -> int:
        return int(command(redis_client, "GET", name) or 0)

    try:
        eventually("all is read", lambda: counted(SEEN) >= sum(map(len, times.values())))
        eventually("time passes", lambda: counted(FIRED) > 0)
    finally:
        job.kill()
        job.wait()
    assert command(redis_client, "LRANGE", LATE, 0, -1) == []
