"""``backdrop warm-start`` on a real Redis: the new lineage is begun, gets packs, and says what it was lent."""

import os
from pathlib import Path

import numpy as np
import pytest
import redis
from typer.testing import CliRunner, Result

from backdrop.cli import app
from contracts import (
    Bias,
    ContextSchema,
    InvalidInputError,
    LineageError,
    LineageSettings,
    Present,
    StatisticsBlob,
    encode_statistics,
    keys,
)
from learner import ArmStats, LinUCB, Statistics
from stores import Delta, EmbeddedRedis, StatisticsStore
from stores.connect import command

SCHEMA = ContextSchema((Bias(), Present("user_profile:device")))


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BACKDROP_")]:
        monkeypatch.delenv(name)
    compiled = tmp_path / ".backdrop/features/context.json"
    compiled.parent.mkdir(parents=True)
    compiled.write_bytes(SCHEMA.to_json())


def invoke(server: EmbeddedRedis, *words: str) -> Result:
    return CliRunner().invoke(app, ["warm-start", "--redis", server.url, *words], catch_exceptions=True)


def old_lineage(client: redis.Redis) -> Statistics:
    old = StatisticsStore(client, "old")
    old.begin(LineageSettings(SCHEMA.hash, SCHEMA.d))
    sums = Statistics.of({"oak": ArmStats.zero(2).observe(np.ones((10, 2)), np.ones(10))})
    blob = StatisticsBlob("old", SCHEMA.hash, 20, 0, 0, -1, sums.arms, sums.n, sums.reward, sums.gram, sums.moment, {})
    old.put_deltas("lamps", [Delta(0, 0, 20, encode_statistics(blob))])
    return sums


def test_packs_of_a_new_lineage_begin_with_what_was_lent(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    sums = old_lineage(redis_client)
    result = invoke(redis_server, "--from", "old", "--to", "new", "--weight", "0.25")
    assert (result.exit_code, result.output) == (0, "lamps: 2.5 decisions of old lent to new\n")
    pack = LinUCB.from_arrow(command(redis_client, "HGET", keys.pack("lamps", "new"), "blob"))
    assert (pack.lineage, pack.generation) == ("new", 1)
    x = np.array([1.0, 1.0])
    np.testing.assert_array_equal(pack.scores(x), LinUCB.fit_statistics(sums.discount(0.25)).scores(x))
    assert StatisticsStore(redis_client, "new").settings() == LineageSettings(SCHEMA.hash, SCHEMA.d)


def test_an_old_lineage_without_statistics_lends_nothing(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    StatisticsStore(redis_client, "old").begin(LineageSettings(SCHEMA.hash, SCHEMA.d))
    result = invoke(redis_server, "--from", "old", "--to", "new")
    assert (result.exit_code, result.output) == (0, "lineage old has learned nothing yet: nothing was lent\n")


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (("--from", "none", "--to", "new"), LineageError, "'none' does not exist"),
        (("--from", "old", "--to", "old"), LineageError, "lent to itself"),
        (("--from", "old", "--to", "new", "--weight", "0"), InvalidInputError, "weight = 0"),
    ],
)
def test_what_cannot_be_lent_is_one_sentence(
    redis_server: EmbeddedRedis,
    redis_client: redis.Redis,
    words: tuple[str, ...],
    kind: type[Exception],
    message: str,
) -> None:
    old_lineage(redis_client)
    result = invoke(redis_server, *words)
    assert isinstance(result.exception, kind)
    assert message in str(result.exception)


def test_a_mistyped_lender_leaves_no_lineage_behind(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    invoke(redis_server, "--from", "none", "--to", "new")
    assert command(redis_client, "KEYS", "*") == []
