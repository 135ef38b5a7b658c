"""``backdrop evaluate`` as its user meets it, on a real event log."""

import time
from dataclasses import replace
from pathlib import Path

import redis
from typer.testing import CliRunner, Result

from backdrop.cli import app
from contracts import InvalidInputError, LineageSettings
from stores import EmbeddedRedis, RedisEventLog, StatisticsStore
from tests.beam_pipelines.facts import SCHEMA, batch, click_on, decision

SETTINGS = LineageSettings(SCHEMA, 3, window_ms=500, attribution_ms=100, grace_ms=200, shards=1)


def evaluated(server: EmbeddedRedis, home: Path, *words: str) -> Result:
    return CliRunner().invoke(
        app,
        ["evaluate", "--redis", server.url, "--home", str(home), *words],
        env={"COLUMNS": "200", "NO_COLOR": "1"},
    )


def logged(client: redis.Redis, decisions: int, *, clicks: int = 0) -> None:
    """One decision of another category to learn from, then those that judge; returns when their clicks are complete."""
    StatisticsStore(client, "main").begin(SETTINGS)
    log = RedisEventLog(client)
    log.append(0, [batch([decision(log.clock_ms(), 0, category="chairs")])])
    at = log.clock_ms() + 10
    shown = [replace(decision(at, seed), policy="random") for seed in range(1, decisions + 1)]
    log.append(0, [batch([*shown, *(click_on(fact, at) for fact in shown[:clicks])])])
    done_ms = log.clock_ms() + SETTINGS.bound_ms(0)
    while log.clock_ms() <= done_ms:
        time.sleep(0.05)


def test_it_prints_what_linucb_would_have_earned(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    logged(redis_client, 1_200, clicks=240)
    result = evaluated(redis_server, tmp_path, "--share", "0.001")
    assert result.exit_code == 0, result.output
    # Nothing was learned, so linucb draws evenly, as random did.
    rows = [line.split() for line in result.stdout.splitlines() if line.strip().startswith(("all", "lamps"))]
    assert [row[:4] for row in rows] == [[name, "1,200", "20.00%", "20.00%"] for name in ("all", "lamps")]


def test_too_little_is_said_and_not_claimed(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    logged(redis_client, 30)
    result = evaluated(redis_server, tmp_path, "--share", "0.001")
    assert "no claim for all: the effective sample size is 30, at least 200 are needed" in result.stdout


def test_an_empty_log_and_a_share_of_everything_are_refused(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    StatisticsStore(redis_client, "main").begin(SETTINGS)
    empty = evaluated(redis_server, tmp_path)
    assert isinstance(empty.exception, InvalidInputError)
    assert "event log is empty" in str(empty.exception)
    whole = evaluated(redis_server, tmp_path, "--share", "1")
    assert isinstance(whole.exception, InvalidInputError)
    assert "share = 1.0" in str(whole.exception)
