"""Lineages on the command line, on a real Redis: what each command does, says and refuses."""

import os
import re
import sys
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner, Result

from backdrop.cli import app
from backdrop.replay_command import parse_time
from contracts import (
    ORIGIN,
    Bias,
    ContextSchema,
    InvalidInputError,
    LineageError,
    LineageSettings,
    Position,
    SettingsError,
    keys,
)
from stores import EmbeddedRedis, FileObjectStore, LineageState, LineageStore, RedisEventLog, StatisticsStore
from stores import write_archive as archive
from stores.connect import command

SCHEMA = ContextSchema((Bias(),))
SETTINGS = LineageSettings(SCHEMA.hash, SCHEMA.d)
FAR_MS = 1 << 50


@pytest.fixture(autouse=True)
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> Path:
    """A home with a compiled schema, its Redis, and a program in Prism's place that no test comes to start."""
    for name in [name for name in os.environ if name.startswith("BACKDROP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKDROP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BACKDROP_REDIS_URL", redis_server.url)
    monkeypatch.setenv("BACKDROP_PRISM", sys.executable)
    monkeypatch.setenv("BACKDROP_PARTITIONS", "1")
    schema = tmp_path / "home/features/context.json"
    schema.parent.mkdir(parents=True)
    schema.write_bytes(SCHEMA.to_json())
    return tmp_path / "home"


@pytest.fixture
def log(redis_client: redis.Redis) -> RedisEventLog:
    """Twenty entries, a second apart, the last of 29,000 ms; lineages ``main``, served, and ``new``."""
    for at_ms in range(10_000, 30_000, 1_000):
        command(redis_client, "XADD", keys.events(0), f"{at_ms}-0", "b", b"x")
    for name in ("main", "new"):
        StatisticsStore(redis_client, name).begin(SETTINGS)
    return RedisEventLog(redis_client, 1)


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, words, env={"TERMINAL_WIDTH": "200", "NO_COLOR": "1"})


def told(*words: str) -> str:
    result = invoke(*words)
    assert (result.exit_code, result.exception) == (0, None), result.output
    return result.stdout


def refused(*words: str) -> str:
    result = invoke(*words)
    assert isinstance(result.exception, LineageError | SettingsError | InvalidInputError), result.output
    return str(result.exception)


def test_promotion_waits_for_a_small_lag_and_can_be_taken_back(log: RedisEventLog, redis_client: redis.Redis) -> None:
    new, lineages = StatisticsStore(redis_client, "new"), LineageStore(redis_client)
    new.raise_low_watermark(21_000)
    assert re.search(
        r"up to 21000, its newest entry is of 29000: 8\.0 s behind, the limit is 5 s", refused("promote", "new")
    )
    assert re.search(r"no learner has followed lineage 'new' yet", refused("promote", "new", "--max-lag-s", "8"))
    new.put_status({"updated_ms": log.clock_ms() - 60_000})
    assert re.search(r"no learner has followed .* for 6\d s", refused("promote", "new", "--max-lag-s", "8"))
    assert lineages.active() == "main"
    new.put_status({"updated_ms": log.clock_ms()})
    assert "new is served now, 8.0 s behind the log; before: main" in told("promote", "new", "--max-lag-s", "8")
    assert lineages.active() == "new"
    assert told("rollback") == "lineage main is served again; new is no longer\n"
    new.raise_low_watermark(29_001)
    assert "new is served now, 0.0 s behind the log" in told("promote", "new")
    assert told("confirm") == "lineage main is retired\n"
    assert "no previous lineage" in refused("rollback")
    assert lineages.states() == {"main": LineageState.RETIRED, "new": LineageState.ACTIVE}
    assert "'nobody' does not exist" in refused("promote", "nobody")


def test_trim_says_what_went_and_what_holds_the_rest(log: RedisEventLog, redis_client: redis.Redis, home: Path) -> None:
    archive(FileObjectStore(home / "objects"), log.read(0, ORIGIN, 15).entries, after=ORIGIN)
    assert re.search(r"partition 0: 0 entries trimmed, kept from 0-0 .* because of main$", told("trim").rstrip())
    StatisticsStore(redis_client, "main").raise_low_watermark(FAR_MS)
    assert "because of new" in told("trim")
    assert told("retire", "new") == "lineage new is retired\n"
    assert told("trim") == (
        "partition 0: 14 entries trimmed, kept from 24000-0 (1970-01-01T00:00:24.000Z) on because of archive\n"
    )
    assert log.first(0) == Position(24_000, 0)


def test_verify_takes_any_lineage_and_a_trimmed_log(log: RedisEventLog, redis_client: redis.Redis, home: Path) -> None:
    archive(FileObjectStore(home / "objects"), log.read(0, ORIGIN, 15).entries, after=ORIGIN)
    log.trim(0, Position(20_000, 0))
    StatisticsStore(redis_client, "new").raise_low_watermark(FAR_MS)
    out = told("verify", "--lineage", "new")
    assert f"identical (0 closed windows, 0 facts, as of {FAR_MS})" in out
    assert "'nobody' does not exist" in refused("verify", "--lineage", "nobody")


def test_a_learner_refuses_other_settings_and_partitions_naming_both_values(
    log: RedisEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKDROP_LEARN__ACTIVITY", "false")
    monkeypatch.setenv("BACKDROP_LINEAGE__GAMMA", "0.5")
    assert "lineage 'new' was begun with other settings (gamma: stored 1.0, set 0.5)" in refused(
        "learn", "--lineage", "new"
    )
    assert "gamma: stored 1.0, set 0.5" in refused("learn")
    log.require_partitions()
    monkeypatch.setenv("BACKDROP_PARTITIONS", "2")
    for words in (("learn",), ("serve",), ("verify",), ("trim",), ("promote", "new"), ("replay", "--lineage", "x")):
        assert "partitions = 2: the event log was begun with 1" in refused(*words), words


def test_a_replay_refuses_what_exists_and_what_it_cannot_know(log: RedisEventLog, redis_client: redis.Redis) -> None:
    assert "no lineage is served and has folded anything: say with --to" in refused("replay", "--lineage", "x")
    assert "exists and is following" in refused("replay", "--lineage", "new", "--to", "20000")
    StatisticsStore(redis_client, "main").raise_low_watermark(25_000)
    assert "not to be replayed up to 25000" in refused("replay", "--lineage", "new")
    StatisticsStore(redis_client, "half").begin(SETTINGS, replay_to_ms=20_000)
    assert "up to 20000, not to be replayed up to 21000" in refused("replay", "--lineage", "half", "--to", "21000")
    assert "gamma: stored 1.0, set 0.9" in refused("replay", "--lineage", "half", "--set", "gamma=0.9")
    assert "what will be appended is not known yet" in refused("replay", "--lineage", "x", "--to", str(FAR_MS))
    assert "--to 'soon'" in refused("replay", "--lineage", "x", "--to", "soon")
    assert "--set 'gamma'" in refused("replay", "--lineage", "x", "--set", "gamma")
    assert "lineage.shards" in refused("replay", "--lineage", "x", "--set", "shards=none")
    assert "lineage.speed" in refused("replay", "--lineage", "x", "--set", "speed=9")


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1700000000000", 1_700_000_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000),
        ("2023-11-14 23:13:20.5+01:00", 1_700_000_000_500),
        ("now", 1_700_000_000_501),
    ],
)
def test_times_are_read_in_every_form(text: str, time_ms: int) -> None:
    assert parse_time(text, 1_700_000_000_501) == time_ms
