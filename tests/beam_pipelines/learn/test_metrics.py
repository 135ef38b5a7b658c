"""What a learner tells: metrics as Prometheus scrapes them, from a real Redis; the worker's own status."""

import dataclasses
import re
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from beam_pipelines.learn import LearnConfig, run
from beam_pipelines.learn.archive_stage import ArchiveLog, archived_here
from beam_pipelines.learn.decode import DROP_REASONS, POISON_REASONS, decode_entries
from beam_pipelines.learn.decode_stage import DecodeFacts
from beam_pipelines.learn.fold_stage import FoldFacts
from beam_pipelines.learn.frames import Frame, encode_frame
from beam_pipelines.learn.held import held_bytes
from beam_pipelines.learn.metrics import MAX_LABELLED, LearnerMetrics, ParentCounts, serving_metrics
from beam_pipelines.learn.route import ShardWindow
from beam_pipelines.learn.sight import ENTRIES_LOST
from beam_pipelines.learn.status import MANY_CATEGORIES, Status
from beam_pipelines.learn.times import timestamp_of
from contracts import ORIGIN, LogEntry, Position, SettingsError, keys
from stores import DeadLetters, Delta, EmbeddedRedis, RecordView, RedisEventLog, StatisticsStore, connect
from stores.child import choose_port
from stores.connect import command
from tests.backdrop.model_world import SCHEMA, SETTINGS, WATERMARK_MS, learn, tell
from tests.beam_pipelines.facts import LINEAGE, batch

PATIENCE_S = 60.0


def config_of(server: EmbeddedRedis, **values: Any) -> LearnConfig:
    config = LearnConfig(server.url, LINEAGE, SETTINGS, sys.executable, partitions=2)
    return dataclasses.replace(config, **values)


def samples(client: redis.Redis, counts: ParentCounts | None = None) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(
        LearnerMetrics(
            StatisticsStore(client, LINEAGE),
            RecordView(client, LINEAGE),
            RedisEventLog(client, 2),
            DeadLetters(client),
            counts or ParentCounts(),
        )
    )
    found: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            label = "".join(f"{{{value}}}" for value in sample.labels.values())
            found[sample.name.removeprefix("backdrop_learner_") + label] = sample.value
    return found


def test_every_reason_has_a_series_before_anything_happens(redis_client: redis.Redis) -> None:
    found = samples(redis_client)
    assert found["redis_up"] == 1
    for reason in DROP_REASONS:
        assert found.pop(f"facts_dropped_total{{{reason}}}") == 0
    for reason in (*POISON_REASONS, ENTRIES_LOST):
        assert found.pop(f"dead_letters_total{{{reason}}}") == 0
    assert found.pop("redis_up") == 1
    # Without an entry there is nothing to be late with; a low watermark and a sign of life there are not.
    assert set(found.values()) == {0}
    assert {"publish_lag_seconds", "read_lag_seconds{1}", "worker_restarts_total", "categories"} <= found.keys()
    assert not {"low_watermark_timestamp_seconds", "status_age_seconds", "state_bytes{fold}"} & found.keys()


def test_facts_by_what_became_of_them(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    told, appended = tell(["lamps", "chairs"])
    learn(redis_client, appended)
    stage = DecodeFacts(SETTINGS, LINEAGE, redis_server.url)
    stage.setup()
    facts = [fact for _, facts in appended for fact in facts]
    again = facts[:7]
    blobs = [batch(each, SCHEMA.d, SCHEMA.hash) for each in (facts, again)] + [b"junk"]
    entries = tuple(LogEntry(0, Position(WATERMARK_MS - 30_000, i), blob) for i, blob in enumerate(blobs, 1))
    list(stage.process(encode_frame(Frame(0, ORIGIN, entries))))
    found = samples(redis_client, ParentCounts(restarts=3))
    late_or_early = found["facts_dropped_total{late}"] + found["facts_dropped_total{early}"]
    assert found["facts_folded_total"] == len(facts)
    assert found["facts_counting_total"] + late_or_early == len(facts) + len(again)
    assert found["facts_dropped_total{undecodable}"] == found["dead_letters_total{undecodable}"] == 1
    assert found["facts_dropped_total{bad_kind}"] == 0
    assert found["worker_restarts_total"] == 3
    assert found["categories"] == 2
    assert found["open_windows"] == len({fact.decision_ms // 10_000 for fact in told.shown}) - 3
    assert found["low_watermark_timestamp_seconds"] == WATERMARK_MS / 1000
    assert found["pack_generation{lamps}"] == StatisticsStore(redis_client, LINEAGE).state("lamps").generation
    assert 0 <= found["pack_age_seconds{lamps}"] < PATIENCE_S
    for what in ("base", "deltas", "pack"):
        assert found[f"state_bytes{{{what}}}"] > 1000


def test_duplicates_are_told_when_nothing_is_on_its_way(redis_client: redis.Redis) -> None:
    store, log = StatisticsStore(redis_client, LINEAGE), RedisEventLog(redis_client, 2)
    store.put_deltas("lamps", [Delta(200, 0, 5, b"x")])
    (position,) = log.append(0, [b"x"])
    store.count_entries(0, [(position, {"counting": 8})])
    found = samples(redis_client)
    assert (found["facts_folded_total"], found["facts_counting_total"]) == (5, 8)
    assert "facts_duplicate_total" not in found
    store.raise_low_watermark(position.append_ms + 1)
    assert samples(redis_client)["facts_duplicate_total"] == 3


def test_each_lag_is_that_of_its_own_position(redis_client: redis.Redis) -> None:
    store, log = StatisticsStore(redis_client, LINEAGE), RedisEventLog(redis_client, 2)
    now_ms = log.clock_ms()
    for partition, age_ms in ((0, 90_000), (0, 30_000), (1, 20_000)):
        command(redis_client, "XADD", keys.events(partition), f"{now_ms - age_ms}-0", "b", b"x")
    found = samples(redis_client)
    # Nothing was ever published: as far behind as the oldest entry.
    assert 90 <= found["publish_lag_seconds"] < 90 + PATIENCE_S
    store.count_entries(0, [(Position(now_ms - 90_000, 0), {})])
    store.count_entries(1, [(Position(now_ms - 20_000, 0), {})])
    store.raise_low_watermark(now_ms - 50_000)
    held = {"fold_bytes": 4096, "archived_ms:0": now_ms - 75_000, "trimmed_entries": 12}
    store.put_status({"updated_ms": now_ms - 5_000, **held})
    log.trim(0, Position(now_ms - 30_000, 0))
    found = samples(redis_client)
    assert (found["read_lag_seconds{0}"], found["read_lag_seconds{1}"]) == (60, 0)
    assert found["archive_lag_seconds{0}"] == 45
    assert "archive_lag_seconds{1}" not in found
    assert 50 <= found["publish_lag_seconds"] < 50 + PATIENCE_S
    assert 5 <= found["status_age_seconds"] < 5 + PATIENCE_S
    assert (found["log_entries{0}"], found["log_entries{1}"]) == (1, 1)
    assert found["log_bytes{0}"] > 0
    assert found["log_trimmed_timestamp_seconds{0}"] == (now_ms - 90_000) / 1000
    assert (found["state_bytes{fold}"], found["log_trimmed_entries_total"]) == (4096, 12)
    store.put_status({"updated_ms": now_ms - 60_000, "fold_bytes": 4096})
    assert "state_bytes{fold}" not in samples(redis_client)


def test_made_up_categories_do_not_each_get_a_series(redis_client: redis.Redis) -> None:
    store = StatisticsStore(redis_client, LINEAGE)
    for number in range(MAX_LABELLED + 20):
        store.put_deltas(f"c-{number}", [Delta(100, 0, 1 + (number >= 20), b"x")])
        store.put_pack(f"c-{number}", 1, b"x")
    found = samples(redis_client)
    assert found["categories"] == MAX_LABELLED + 20
    labelled = {name for name in found if name.startswith("pack_generation")}
    assert labelled == {f"pack_generation{{c-{number}}}" for number in range(20, MAX_LABELLED + 20)}


def test_without_redis_only_what_the_parent_knows() -> None:
    with connect(f"redis://127.0.0.1:{choose_port()}/0", timeout_s=1.0, retries=0) as client:
        assert samples(client, ParentCounts(restarts=2)) == {"redis_up": 0, "worker_restarts_total": 2}


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        text: str = answer.read().decode()
    return text


def test_metrics_are_served_while_the_block_runs(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    port = choose_port()
    config = config_of(redis_server, metrics_port=port)
    with serving_metrics(config) as counts:
        counts.restarts = 4
        assert "\nbackdrop_learner_worker_restarts_total 4.0\n" in scraped(port)
        with (
            pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{port} \(.*another learn\.metrics_port"),
            serving_metrics(config),
        ):
            pass
    with pytest.raises(OSError, match="refused"):
        scraped(port)
    with serving_metrics(config_of(redis_server)) as counts:
        assert counts.restarts == 0


@pytest.fixture
def stop_in_time() -> Iterator[threading.Event]:
    stop = threading.Event()
    timer = threading.Timer(PATIENCE_S, stop.set)
    timer.start()
    yield stop
    timer.cancel()


def test_workers_that_end_are_counted(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, stop_in_time: threading.Event, tmp_path: Path
) -> None:
    port, seen = choose_port(), []
    # A program that is no Prism: the worker ends at once, again and again.
    config = config_of(redis_server, metrics_port=port, runner_path="/bin/true", log_level="CRITICAL")

    def watch() -> None:
        while not stop_in_time.wait(0.2):
            try:
                found = re.search(r"^backdrop_learner_worker_restarts_total (\d+)", scraped(port), re.MULTILINE)
            except OSError:
                continue
            if found and int(found[1]) >= 1:
                seen.append(int(found[1]))
                stop_in_time.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run(config, stop_in_time)
    finally:
        stop_in_time.set()
        watcher.join(PATIENCE_S)
    assert seen


class Cell:
    """A state cell, bag or value, as Beam hands it to a stage; timers are set and forgotten."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any) -> None:
        self.values.append(value)

    def write(self, value: Any) -> None:
        self.values = [value]

    def clear(self) -> None:
        self.values = []

    def set(self, *_: Any, **__: Any) -> None:
        pass


class Value(Cell):
    def read(self) -> Any:
        return self.values[-1] if self.values else None


class Bag(Cell):
    def read(self) -> list[Any]:
        return self.values


def test_a_fold_holds_memory_until_its_window_is_closed() -> None:
    told, appended = tell(["lamps"])
    settings = dataclasses.replace(SETTINGS, window_ms=100_000, shards=1)
    stage = FoldFacts(settings, LINEAGE, 500)
    stage.setup()
    before = held_bytes()
    window = told.shown[0].decision_ms // 100_000 * 100_000
    cells = {"token": Value(), "statistics": Value(), "identities": Bag(), "waiting": Bag()}
    facts = [fact for _, each in appended for fact in each]
    entries = (LogEntry(0, Position(WATERMARK_MS, 0), batch(facts, SCHEMA.d, SCHEMA.hash)),)
    place = ShardWindow(0, window).to_bytes()
    cells["waiting"].add(decode_entries(entries, settings).counting.encode())
    list(stage.flush_due(key=place, at=timestamp_of(WATERMARK_MS), bound=Cell(), **cells))
    assert held_bytes() - before > len(facts) * 16
    list(stage.bound_passed(key=place, at=timestamp_of(settings.bound_ms(window)), bound=Cell(), **cells))
    assert held_bytes() == before
    assert all(not cell.values for cell in cells.values())


def test_an_archive_tells_how_far_it_is(redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    partition = 173
    store = StatisticsStore(redis_client, LINEAGE)
    store.begin(SETTINGS)
    dataset = store.dataset()
    assert dataset is not None
    stage = ArchiveLog(str(tmp_path), [ORIGIN] * (partition + 1), 1_000, LINEAGE, redis_server.url, dataset)
    stage.setup()
    assert archived_here(partition) == ORIGIN
    frames, armed = Bag(), Value()
    armed.write(10)
    frames.add(encode_frame(Frame(partition, ORIGIN, (LogEntry(partition, Position(5, 2), b"x"),))))
    stage.write_due(key=partition, at=timestamp_of(10), frames=frames, armed=armed, write=Cell())
    assert archived_here(partition) == Position(5, 2)


def test_a_status_says_what_the_worker_holds(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    learn(redis_client, tell(["lamps"])[1])
    store = StatisticsStore(redis_client, LINEAGE)
    config = config_of(redis_server, archive_uri=str(tmp_path))
    Status(config, (Position(70, 0), Position(80, 0))).write()
    found = store.status()
    assert (found["archived_ms:0"], found["archived_ms:1"]) == ("70", "80")
    assert int(found["fold_bytes"]) == held_bytes()
    assert found["categories"] == "1"
    Status(config_of(redis_server), (Position(70, 0), Position(80, 0))).write()
    assert "archived_ms:0" not in store.status()


def test_many_categories_are_warned_of_once(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    command(
        redis_client,
        "SADD",
        keys.lineage_categories(LINEAGE),
        *(f"c-{number}" for number in range(MANY_CATEGORIES + 1)),
    )
    status = Status(config_of(redis_server), ())
    with capture_logs() as logs:
        status.write()
        status.write()
    assert [(line["event"], line["categories"]) for line in logs] == [("many_categories", MANY_CATEGORIES + 1)]


def test_a_status_that_cannot_be_written_ends_nothing() -> None:
    config = LearnConfig(f"redis://127.0.0.1:{choose_port()}/0", LINEAGE, SETTINGS, sys.executable)
    with capture_logs() as logs:
        Status(config, ()).write()
    assert [line["event"] for line in logs] == ["status_not_written"]
