"""The identity check sees what is equal, and says what is not."""

import dataclasses
from pathlib import Path

import pytest
import redis

from beam_pipelines.replay import LineageState, compare, entries_in_order, replay
from contracts import ORIGIN, Fact, LineageSettings, UnavailableError, encode_statistics
from stores.archive import write_archive
from stores.objects import FileObjectStore
from stores.redis_log import RedisEventLog
from stores.statistics import Delta, StatisticsStore
from tests.beam_pipelines.facts import LINEAGE, SCHEMA, batch, click_on, decision

# Windows so long that none closes while a test runs.
OPEN = LineageSettings(SCHEMA, 3, window_ms=3_600_000, attribution_ms=3_600_000, grace_ms=60_000, shards=2)


def filled(log: RedisEventLog) -> list[Fact]:
    now_ms = log.clock_ms()
    facts = [decision(now_ms - i, i, category=("lamps", "chairs")[i % 2]) for i in range(40)]
    facts += [click_on(fact, fact.decision_ms + 5) for fact in facts[::7]]
    for start in range(0, len(facts), 10):
        log.append(start // 10 % 2, [batch(facts[start : start + 10])])
    return facts


def stored(store: StatisticsStore, state: LineageState) -> None:
    for name, category in state.categories.items():
        deltas = [
            Delta(window, shard, blob.version, encode_statistics(blob))
            for (window, shard), blob in category.deltas.items()
        ]
        store.put_deltas(name, deltas)
        if category.base is not None:
            base = category.base
            store.close(name, seen=-1, through=base.through, facts=base.version, base=encode_statistics(base))
    store.raise_low_watermark(state.watermark_ms)


@pytest.fixture
def log(redis_client: redis.Redis) -> RedisEventLog:
    return RedisEventLog(redis_client, 2)


@pytest.fixture
def store(redis_client: redis.Redis) -> StatisticsStore:
    found = StatisticsStore(redis_client, LINEAGE)
    found.begin(OPEN)
    return found


def end_of(log: RedisEventLog) -> int:
    return max(log.last(partition).append_ms for partition in range(2)) + 1


def test_what_is_equal_is_identical(log: RedisEventLog, store: StatisticsStore) -> None:
    facts = filled(log)
    stored(store, replay(entries_in_order(log), OPEN, lineage=LINEAGE, watermark_ms=end_of(log)))
    found = compare(store, log)
    assert found.identical
    assert (found.facts, found.windows_closed, found.watermark_ms) == (len(facts), 0, end_of(log))


def test_an_empty_lineage_equals_an_empty_log(log: RedisEventLog, store: StatisticsStore) -> None:
    store.raise_low_watermark(1)
    assert compare(store, log).identical


def test_a_single_bit_is_seen(log: RedisEventLog, store: StatisticsStore) -> None:
    filled(log)
    state = replay(entries_in_order(log), OPEN, lineage=LINEAGE, watermark_ms=end_of(log))
    place, blob = next(iter(state.categories["lamps"].deltas.items()))
    gram = blob.gram.copy()
    gram[0, 0] += 2.0**-20
    bent = {**state.categories["lamps"].deltas, place: dataclasses.replace(blob, gram=gram)}
    category = dataclasses.replace(state.categories["lamps"], deltas=bent)
    stored(store, dataclasses.replace(state, categories={**state.categories, "lamps": category}))
    found = compare(store, log)
    assert not found.identical
    (difference,) = found.differences
    assert "gram differs in 1 of" in difference


def test_missing_and_surplus_statistics_are_named(log: RedisEventLog, store: StatisticsStore) -> None:
    filled(log)
    state = replay(entries_in_order(log), OPEN, lineage=LINEAGE, watermark_ms=end_of(log))
    surplus = state.categories["chairs"]
    stored(store, dataclasses.replace(state, categories={"sofas": surplus, "lamps": state.categories["lamps"]}))
    store.put_deltas("lamps", [Delta(1, 0, 1, encode_statistics(next(iter(surplus.deltas.values()))))])
    found = compare(store, log)
    text = "\n".join(found.differences)
    assert "chairs: delta" in text and "only in the replay" in text
    assert "sofas: delta" in text and "only in the store" in text
    assert "lamps: delta 1:0: only in the store" in text


def test_other_closed_windows_are_named(log: RedisEventLog, store: StatisticsStore) -> None:
    filled(log)
    state = replay(entries_in_order(log), OPEN, lineage=LINEAGE, watermark_ms=end_of(log))
    stored(store, state)
    store.close("lamps", seen=-1, through=0, facts=0, base=b"")
    assert compare(store, log).differences == ("lamps: closed through 0 in the store, through -1 in the replay",)


def test_a_learner_that_is_behind_is_waited_for_then_named(log: RedisEventLog, store: StatisticsStore) -> None:
    filled(log)
    with pytest.raises(UnavailableError, match="folded the log up to -1"):
        compare(store, log, patience_s=0.3)


def test_the_archive_stands_in_for_what_was_trimmed(log: RedisEventLog, store: StatisticsStore, tmp_path: Path) -> None:
    facts = filled(log)
    stored(store, replay(entries_in_order(log), OPEN, lineage=LINEAGE, watermark_ms=end_of(log)))
    objects = FileObjectStore(tmp_path)
    for partition in range(2):
        entries = log.read(partition, ORIGIN, 100).entries
        write_archive(objects, entries[:-1], after=ORIGIN)
        log.trim(partition, entries[-1].position)
    found = compare(store, log, objects)
    assert found.identical
    assert found.facts == len(facts)
