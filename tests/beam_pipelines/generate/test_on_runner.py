"""The whole job on a job server (--runner): the same objects and rows as in one process, and no duplicate."""

from dataclasses import replace
from pathlib import Path

import pytest
import redis

from beam_pipelines.generate import GenerateConfig, run
from beam_pipelines.generate.job import run_job
from beam_pipelines.generate.manifest import read_dead, read_manifest
from stores import CreativeIndex, EmbeddedRedis, FileObjectStore
from tests.beam_pipelines.generate.shop import needs_weights, open_shop, row
from tests.beam_pipelines.processes import runner_path

pytestmark = needs_weights

ROWS = [row("stool"), row("chair"), row("pot", "garden"), row("gone", image_uri="missing.png"), row("boat", "boats")]


def contents(config: GenerateConfig) -> dict[str, bytes]:
    """Pictures and cut-outs by path."""
    objects = FileObjectStore(Path(config.objects_uri))
    return {path: objects.get(path) for kind in ("creatives/", "cutouts/") for path in objects.list(kind)}


@pytest.mark.slow
def test_a_job_server_makes_what_one_process_makes(
    tmp_path: Path, pytestconfig: pytest.Config, redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    runner = str(pytestconfig.getoption("--runner"))
    plain = open_shop(tmp_path, ROWS)
    here = run_job(plain, lambda _: None)
    config = replace(
        plain,
        objects_uri=str(tmp_path / "there"),
        redis_url=redis_server.url,
        runner=runner,
        runner_path=runner_path(runner),
        chunk=2,
        wave=1,
    )
    there = run(config)
    assert there == replace(here, published=16)
    assert contents(config) == contents(plain)
    rows, expected = (read_manifest(FileObjectStore(Path(c.objects_uri))) for c in (config, plain))
    assert rows == expected
    assert len(rows) == 16
    assert {d.item_id for d in read_dead(FileObjectStore(tmp_path / "there"))} == {"gone", "boat"}
    assert set(CreativeIndex(redis_client).read("chair", "banner")) == {"original", "oak", "slate"}
    before = contents(config)
    again = run(config)
    assert (again.made, again.skipped, again.published) == (0, 16, 16)
    assert contents(config) == before
