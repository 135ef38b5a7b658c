"""From the event log to the online store: real log, real job, real Feast, and the reader gets what was counted."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from typer.testing import CliRunner

from backdrop.cli import app
from backdrop.runners import find_prism
from beam_pipelines.features import AggregateConfig, run
from contracts import (
    BackdropError,
    ContextSchema,
    Fact,
    GapError,
    InvalidInputError,
    LineageSettings,
    LogEntry,
    Position,
    ReadPlan,
)
from feature_repo import Aggregates, add_stats, ensure_stats, load_aggregates, stats_schemas, write_profiles
from stores import (
    ArmStatus,
    EmbeddedRedis,
    OnlineReader,
    PolicyStore,
    RedisEventLog,
    connect,
    connect_async,
    open_objects,
    write_archive,
)
from stores.connect import command
from tests.beam_pipelines.facts import batch, changed, click_on, decision, settings_of
from tests.feature_repo import profiles
from tests.feature_repo.conftest import REPO

PARTITIONS = 2
RULES = settings_of(3)
DAY_MS = 86_400_000
AGGREGATES = load_aggregates(REPO / "aggregates.yaml")


@pytest.fixture(scope="module")
def log_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("log-redis")) as server:
        yield server


@pytest.fixture
def client(log_redis: EmbeddedRedis) -> Iterator[redis.Redis]:
    client = connect(log_redis.url)
    command(client, "FLUSHALL")
    PolicyStore(client).set_arms("lamps", {"arm-0": ArmStatus(tags={"mood": "calm"})})
    yield client
    client.close()


def shop(folder: Path, now: datetime) -> None:
    tables = profiles.tables(now - timedelta(days=3))
    write_profiles(folder, users=tables["user"], items=tables["item"], placements=tables["placement"])


def visit(at_ms: int, number: int, user: str, arm: str) -> Fact:
    return changed(decision(at_ms, number), user=user, item=f"i{number % 3}", arm=arm, placement="billboard")


def append(log: RedisEventLog, partition: int, facts: Sequence[Fact]) -> None:
    log.append(partition, [batch(facts)])


def archived_visits(objects: Path, before_ms: int) -> list[Fact]:
    """A hundred decisions of two hours ago, in the archive only; every fourth of u1 is clicked, none of u2."""
    store, found = open_objects(str(objects)), []
    for partition in range(PARTITIONS):
        entries = []
        for number in range(partition, 100, PARTITIONS):
            at_ms = before_ms - 7_200_000 + number * 1_000
            user = "u1" if number % 4 < 2 else "u2"
            shown = visit(at_ms, number, user, "arm-0" if number % 4 == 0 else "arm-1")
            facts = [shown, *([click_on(shown, at_ms + 700)] if number % 4 == 0 else [])]
            found += facts
            entries.append(LogEntry(partition, Position(at_ms + 800, 0), batch(facts)))
        write_archive(store, entries, after=Position(0, 0))
    return found


def config_of(url: str, folder: Path, as_of_ms: int, **changes: object) -> AggregateConfig:
    settings: dict[str, object] = {
        "redis_url": url,
        "rules": RULES,
        "as_of_ms": as_of_ms,
        "folder": str(folder / "profiles"),
        "aggregates": str(REPO / "aggregates.yaml"),
        "partitions": PARTITIONS,
        "archive_uri": str(folder / "objects"),
        "days": 1.0,
    }
    return AggregateConfig(**(settings | changes))  # type: ignore[arg-type]


@pytest.mark.slow
async def test_the_reader_gets_what_the_log_tells(
    log_redis: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    log = RedisEventLog(client, PARTITIONS)
    now_ms = log.clock_ms()
    shop(tmp_path / "profiles", datetime.fromtimestamp(now_ms / 1000, UTC))
    archived = archived_visits(tmp_path / "objects", now_ms)
    # Live, and too young to be complete.
    append(log, 0, [visit(now_ms, 1000, "u3", "arm-0")])
    environment = {
        "BACKDROP_HOME": str(tmp_path / "home"),
        "BACKDROP_REDIS_URL": log_redis.url,
        "BACKDROP_PARTITIONS": str(PARTITIONS),
        "BACKDROP_OBJECTS_URI": str(tmp_path / "objects"),
        "BACKDROP_FEATURES__CONTEXT": str(REPO / "context_stats.yaml"),
        "BACKDROP_LINEAGE__WINDOW_S": "10",
        "BACKDROP_LINEAGE__ATTRIBUTION_S": "20",
        "BACKDROP_LINEAGE__GRACE_S": "5",
    }
    words = ["features", "--aggregate", "--days", "0.5", "--profiles", str(tmp_path / "profiles")]
    done = CliRunner().invoke(app, words, env=environment, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "aggregated 100 decisions (25 clicked)" in done.output
    assert f"(facts: counting {len(archived)})" in done.output
    assert "rows written: item_stats 3, placement_stats 1, user_stats 2" in done.output
    plan = ReadPlan.from_json((tmp_path / "home/features/plan.json").read_bytes())
    schema = ContextSchema.from_json((tmp_path / "home/features/context.json").read_bytes())
    online = connect_async(log_redis.url, timeout_s=10)
    values = (await OnlineReader(plan, schema, online).values("u1", ["i0"], "billboard"))[0]
    row = await OnlineReader(plan, schema, online).read("u1", ["i0"], "billboard", now_ms)
    stranger = await OnlineReader(plan, schema, online).read("u3", ["i0"], "billboard", now_ms)
    await online.aclose()
    strength = AGGREGATES.prior_strength
    overall = 25 / 100
    assert values["user_stats:impressions"] == 50
    assert values["user_stats:ctr"] == pytest.approx((25 + strength * overall) / (50 + strength))
    # 25 decisions of the style "calm", all clicked, all u1's.
    calm = (25 + strength * overall) / (25 + strength)
    assert values["user_stats:ctr_style_calm"] == pytest.approx((25 + strength * calm) / (25 + strength))
    assert values["user_stats:ctr_style_warm"] == pytest.approx(overall)
    assert values["item_stats:popularity"] == 1.0
    assert values["placement_stats:ctr"] == pytest.approx(overall)
    stats = [place for place, name in enumerate(schema.features) if name.partition(":")[0] in stats_schemas(AGGREGATES)]
    assert not row.stale[0, stats].any()
    assert row.present[0, stats].all()
    assert not stranger.present[0, schema.features.index("user_stats:ctr")]


def test_a_repeated_run_changes_nothing_and_a_later_one_adds(
    log_redis: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    now_ms = RedisEventLog(client, PARTITIONS).clock_ms()
    shop(tmp_path / "profiles", datetime.fromtimestamp(now_ms / 1000, UTC))
    archived_visits(tmp_path / "objects", now_ms)
    told: list[tuple[int, int]] = []
    early_ms = now_ms - 7_200_000 + 60_000
    reports = [run(config_of(log_redis.url, tmp_path, early_ms), lambda done, total: told.append((done, total)))]
    first = (tmp_path / "profiles/user_stats.parquet").read_bytes()
    reports.append(run(config_of(log_redis.url, tmp_path, early_ms)))
    assert reports[0] == reports[1]
    assert (tmp_path / "profiles/user_stats.parquet").read_bytes() == first
    assert told[-1][0] == told[-1][1] > 0
    # As of then, only the windows complete by then.
    assert 0 < reports[0].shown < 100
    assert reports[0].end_ms <= RULES.first_open_window(early_ms)
    later = run(config_of(log_redis.url, tmp_path, now_ms))
    assert later.shown == 100
    table = pq.read_table(tmp_path / "profiles/user_stats.parquet")
    assert sorted(set(table.column("event_timestamp").to_pylist())) == [
        datetime.fromtimestamp(at / 1000, UTC) for at in (early_ms, now_ms)
    ]
    kept = run(config_of(log_redis.url, tmp_path, now_ms + 1, keep_days=1 / 24))
    assert kept.rows["user_stats"] == 2
    assert len(pq.read_table(tmp_path / "profiles/user_stats.parquet")) == 4


def test_the_live_log_counts_once_its_windows_are_complete(
    log_redis: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    log, rules = RedisEventLog(client, PARTITIONS), LineageSettings("s", 3, 500, 500, 200)
    shop(tmp_path / "profiles", datetime.now(UTC))
    now_ms = log.clock_ms()
    shown = visit(now_ms, 1, "u1", "arm-0")
    # A duplicate in the other partition, and a click too long after its decision.
    append(log, 0, [shown, click_on(shown, now_ms + 501)])
    append(log, 1, [shown])
    assert run(config_of(log_redis.url, tmp_path, now_ms + 1, rules=rules, archive_uri="")).shown == 0
    while log.clock_ms() < now_ms + 1_200:
        time.sleep(0.05)
    report = run(config_of(log_redis.url, tmp_path, log.clock_ms(), rules=rules, archive_uri=""))
    assert (report.shown, report.clicked) == (1, 0)
    assert {name: count for name, count in report.facts.items() if count} == {"counting": 2, "unattributed": 1}


@pytest.mark.slow
def test_prism_writes_the_same_rows(log_redis: EmbeddedRedis, client: redis.Redis, tmp_path: Path) -> None:
    now_ms = RedisEventLog(client, PARTITIONS).clock_ms()
    archived_visits(tmp_path / "objects", now_ms)
    found = []
    for options in ((), ("--runner=PrismRunner", "--environment_type=LOOPBACK", _prism())):
        shop(tmp_path / "profiles", datetime.fromtimestamp(now_ms / 1000, UTC))
        report = run(config_of(log_redis.url, tmp_path, now_ms, runner_options=options))
        tables = [pq.read_table(tmp_path / f"profiles/{view}.parquet") for view in stats_schemas(AGGREGATES)]
        found.append((report, [table.sort_by(table.column_names[0]).to_pylist() for table in tables]))
    assert found[0] == found[1]
    assert found[0][0].shown == 100


def _prism() -> str:
    return f"--prism_location={find_prism(Path(__file__).parents[2] / '.backdrop/tools')}"


def test_nothing_to_count_leaves_empty_files(log_redis: EmbeddedRedis, client: redis.Redis, tmp_path: Path) -> None:
    now_ms = RedisEventLog(client, PARTITIONS).clock_ms()
    shop(tmp_path / "profiles", datetime.fromtimestamp(now_ms / 1000, UTC))
    report = run(config_of(log_redis.url, tmp_path, now_ms))
    assert (report.shown, report.rows) == (0, {})
    for view, schema in stats_schemas(AGGREGATES).items():
        table = pq.read_table(tmp_path / f"profiles/{view}.parquet")
        assert (len(table), table.schema) == (0, schema)


def test_a_log_with_a_hole_and_inputs_that_are_missing_are_refused(
    log_redis: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    log = RedisEventLog(client, PARTITIONS)
    now_ms = log.clock_ms()
    with pytest.raises(BackdropError, match=r"item_profile.*write the profiles first"):
        run(config_of(log_redis.url, tmp_path, now_ms))
    shop(tmp_path / "profiles", datetime.fromtimestamp(now_ms / 1000, UTC))
    append(log, 0, [visit(now_ms, 1, "u1", "arm-0")])
    log.trim(0, Position(now_ms + 60_000, 0))
    with pytest.raises(GapError, match=r"last 1 days are not whole.*fewer --days"):
        run(config_of(log_redis.url, tmp_path, now_ms))
    with pytest.raises(InvalidInputError, match="shorter than one window"):
        config_of(log_redis.url, tmp_path, now_ms, days=0.0001)


def test_columns_that_come_and_go_leave_older_rows_readable(tmp_path: Path) -> None:
    then, path = datetime(2026, 1, 1, tzinfo=UTC), tmp_path / "item_stats.parquet"
    old = Aggregates("mood", ("calm",), ("all",), (), 1.0)
    new = Aggregates("mood", ("warm",), ("all",), (), 1.0)

    def rows(schema: pa.Schema, at: datetime) -> list[pa.Table]:
        values = {name: [1] for name in schema.names[1:-1]}
        return [pa.table({schema.names[0]: ["e"], **values, "event_timestamp": [at]}).cast(schema)]

    for aggregates, at in ((old, then), (new, then + timedelta(days=1))):
        schema = stats_schemas(aggregates)["user_stats"]
        assert add_stats(path, schema, rows(schema, at), as_of=at) == 1
    table = pq.read_table(path)
    assert table.schema == stats_schemas(new)["user_stats"]
    assert table.column("ctr_style_warm").to_pylist() == [None, 1.0]
    path.write_bytes(b"damaged")
    with pytest.raises(BackdropError, match="move it away"):
        add_stats(path, schema, [], as_of=then)
    ensure_stats(tmp_path, new)
    assert path.read_bytes() == b"damaged"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version 2"),
        ({"extra": 1}, "extra"),
        ({"styles": ["a-b", "a_b"]}, "distinct"),
        ({"styles": ["Calm!"]}, "small letters"),
        ({"prior_strength": 0}, "above 0"),
        ({"price_bands": [{"name": "a", "below": 5}, {"name": "b", "below": 4}, {"name": "c"}]}, "ascending"),
        ({"price_bands": [{"name": "a"}, {"name": "b"}]}, "below"),
        ({"price_bands": 3}, "aggregates"),
        ({"styles": None}, "aggregates"),
    ],
)
def test_bad_aggregates_are_refused(change: dict[str, object], words: str, tmp_path: Path) -> None:
    import yaml

    document = yaml.safe_load((REPO / "aggregates.yaml").read_text()) | change
    (tmp_path / "aggregates.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(InvalidInputError, match=words):
        load_aggregates(tmp_path / "aggregates.yaml")


def test_the_wider_context_has_the_demos_and_the_stats() -> None:
    from feature_repo import load_context_schema

    demo, wide = (load_context_schema(REPO / name) for name in ("context.yaml", "context_stats.yaml"))
    assert wide.names[: demo.d] == demo.names
    assert demo.d < wide.d <= 64
    assert {name.partition(":")[0] for name in wide.features} > set(stats_schemas(AGGREGATES))
    assert np.abs(wide.encode(*wide.raw({name: [None] for name in wide.features})).astype(int)).max() <= 1024
