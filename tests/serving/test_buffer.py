import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from contracts import Position, StoreError, TokenPayload, UnavailableError, decode_facts, new_decision_id
from serving.buffer import EventBuffer
from serving.facts import Signed, fact_of
from serving.metrics import Metrics

NOW = 1_700_000_000_000


class FlakyLog:
    """A log in memory that can be away, be slow, or lose its answers."""

    def __init__(self) -> None:
        self.blobs: list[tuple[int, bytes]] = []
        self.away = False
        self.slow_s = 0.0
        self.lose_answers = 0
        self.defects = 0
        self.refusing: set[int] = set()
        self.tried: list[int] = []

    async def append(self, partition: int, blobs: Sequence[bytes]) -> tuple[Position, ...]:
        await asyncio.sleep(self.slow_s)
        self.tried.append(partition)
        if partition in self.refusing:
            message = "WRONGTYPE"
            raise StoreError(message)
        if self.defects:
            self.defects -= 1
            message = "a defect"
            raise RuntimeError(message)
        if self.away:
            message = "away"
            raise UnavailableError(message)
        self.blobs += [(partition, blob) for blob in blobs]
        if self.lose_answers:
            self.lose_answers -= 1
            message = "answer lost"
            raise UnavailableError(message)
        return tuple(Position(NOW, number) for number in range(len(blobs)))

    async def clock_ms(self) -> int:
        return NOW

    def ids(self) -> list[bytes]:
        return [bytes(row) for _, blob in self.blobs for row in decode_facts(blob).ids()]


def a_fact(schema_hash: str = "aa", d: int = 2, lineage: str = "main") -> Signed:
    payload = TokenPayload(
        new_decision_id(NOW), "u", "i", "c", "arm", "cr", "p", "random", ("arm",), 1.0, 0, b"\1\0" * d,
        schema_hash, lineage, "",
    )  # fmt: skip
    return fact_of(payload, 0, NOW)


def a_buffer(log: FlakyLog, metrics: Metrics | None = None, **changes: float) -> EventBuffer:
    settings = {"capacity": 1000, "batch": 50, "flush_s": 0.005, "timeout_s": 0.2} | changes
    return EventBuffer(
        log,
        metrics or Metrics(),
        partitions=3,
        capacity=int(settings["capacity"]),
        batch=int(settings["batch"]),
        flush_s=settings["flush_s"],
        timeout_s=settings["timeout_s"],
    )


async def until(holds: object) -> None:
    assert callable(holds)
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it never came true")


async def test_facts_reach_the_log_in_batches_over_all_partitions() -> None:
    log = FlakyLog()
    buffer = a_buffer(log)
    task = asyncio.create_task(buffer.run())
    facts = [a_fact() for _ in range(230)]
    assert all(buffer.put(fact) for fact in facts)
    await buffer.close(task, 5)
    assert log.ids() == [fact.fact.decision_id for fact in facts]
    assert len(log.blobs) == 5
    assert {partition for partition, _ in log.blobs} == {0, 1, 2}
    assert len(buffer) == 0


async def test_a_full_batch_does_not_wait_for_the_interval() -> None:
    log = FlakyLog()
    buffer = a_buffer(log, batch=10, flush_s=3600)
    task = asyncio.create_task(buffer.run())
    for _ in range(14):
        buffer.put(a_fact())
        await asyncio.sleep(0)
    await until(lambda: len(log.ids()) == 10)
    assert len(buffer) == 4
    await buffer.close(task, 5)
    assert len(log.ids()) == 14


async def test_schemas_and_lineages_never_share_a_batch() -> None:
    log = FlakyLog()
    buffer = a_buffer(log)
    task = asyncio.create_task(buffer.run())
    for number in range(20):
        buffer.put(a_fact("aa" if number % 2 else "bb", 2 + number % 2, f"lineage-{number % 3}"))
    await buffer.close(task, 5)
    said = {(batch.schema_hash, batch.lineage, batch.d) for batch in (decode_facts(blob) for _, blob in log.blobs)}
    assert len(said) == len(log.blobs) == 6
    assert len(log.ids()) == 20


async def test_what_came_while_the_log_was_away_arrives_later() -> None:
    log = FlakyLog()
    log.away = True
    buffer = a_buffer(log)
    task = asyncio.create_task(buffer.run())
    facts = [a_fact() for _ in range(120)]
    for fact in facts:
        buffer.put(fact)
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    assert len(buffer) == 120
    log.away = False
    await buffer.close(task, 5)
    assert log.ids() == [fact.fact.decision_id for fact in facts]


async def test_a_lost_answer_repeats_facts_but_loses_none() -> None:
    log = FlakyLog()
    log.lose_answers = 2
    buffer = a_buffer(log)
    task = asyncio.create_task(buffer.run())
    facts = [a_fact() for _ in range(10)]
    for fact in facts:
        buffer.put(fact)
    await buffer.close(task, 5)
    assert set(log.ids()) == {fact.fact.decision_id for fact in facts}
    assert len(log.ids()) == 30


async def test_a_defect_of_the_log_does_not_end_the_flusher() -> None:
    log = FlakyLog()
    log.defects = 1
    buffer = a_buffer(log)
    task = asyncio.create_task(buffer.run())
    facts = [a_fact() for _ in range(60)]
    for fact in facts:
        buffer.put(fact)
    await until(lambda: log.defects == 0)
    assert not task.done()
    await buffer.close(task, 5)
    assert log.ids() == [fact.fact.decision_id for fact in facts]


async def test_a_fact_that_cannot_be_encoded_is_counted_and_the_others_arrive() -> None:
    log, metrics = FlakyLog(), Metrics()
    buffer = a_buffer(log, metrics)
    good = [a_fact() for _ in range(9)]
    odd = a_fact()
    # No context: d = 0, which no batch can have.
    broken = replace(odd, fact=replace(odd.fact, eligible=(), context=b"\1"))
    for fact in (*good[:4], broken, *good[4:]):
        assert buffer.put(fact)
    task = asyncio.create_task(buffer.run())
    await buffer.close(task, 5)
    assert sorted(log.ids()) == sorted(fact.fact.decision_id for fact in good)
    assert b'backdrop_dropped_facts_total{reason="not_encodable"} 1.0' in metrics.render()
    assert b"backdrop_buffered_facts 0.0" in metrics.render()


async def test_overflow_is_refused_and_counted() -> None:
    metrics = Metrics()
    buffer = a_buffer(FlakyLog(), metrics, capacity=5)
    assert [buffer.put(a_fact()) for _ in range(7)] == [True] * 5 + [False] * 2
    assert buffer.full
    assert b'backdrop_dropped_facts_total{reason="buffer_overflow"} 2.0' in metrics.render()


async def test_closing_while_the_log_is_away_gives_up_in_time_and_counts() -> None:
    log, metrics = FlakyLog(), Metrics()
    log.away = True
    buffer = a_buffer(log, metrics)
    task = asyncio.create_task(buffer.run())
    for _ in range(3):
        buffer.put(a_fact())
    await buffer.close(task, 0.1)
    assert task.done()
    assert b'backdrop_dropped_facts_total{reason="shutdown"} 3.0' in metrics.render()


async def test_append_now_waits_for_the_log() -> None:
    log = FlakyLog()
    buffer = a_buffer(log)
    fact = a_fact()
    await buffer.append_now([fact])
    assert log.ids() == [fact.fact.decision_id]
    log.away = True
    with pytest.raises(StoreError):
        await buffer.append_now([a_fact()])
    log.away, log.slow_s = False, 1.0
    with pytest.raises(StoreError, match="did not confirm"):
        await buffer.append_now([a_fact()])


async def test_the_flusher_sleeps_when_there_is_nothing() -> None:
    log = FlakyLog()
    buffer = a_buffer(log)
    task = asyncio.create_task(buffer.run())
    await asyncio.sleep(0.03)
    fact = a_fact()
    buffer.put(fact)
    await until(lambda: log.ids() == [fact.fact.decision_id])
    await buffer.close(task, 1)


async def test_a_partition_that_refuses_sends_its_facts_to_the_others() -> None:
    log, metrics = FlakyLog(), Metrics()
    log.refusing = {1}
    buffer = a_buffer(log, metrics, batch=10)
    facts = [a_fact() for _ in range(90)]
    for fact in facts[:6]:
        await buffer.append_now([fact])
    task = asyncio.create_task(buffer.run())
    for fact in facts[6:]:
        buffer.put(fact)
    await buffer.close(task, 5)
    assert log.ids() == [fact.fact.decision_id for fact in facts]
    assert {partition for partition, _ in log.blobs} == {0, 2}
    assert log.tried.count(1) > 1
    assert f'appends_total{{outcome="refused"}} {log.tried.count(1)}.0'.encode() in metrics.render()
    assert b'outcome="failed"' not in metrics.render()


async def test_appends_at_once_each_find_the_partition_that_takes_them() -> None:
    log = FlakyLog()
    log.refusing, log.slow_s = {0, 1}, 0.001
    buffer = a_buffer(log)
    await asyncio.gather(*(buffer.append_now([a_fact()]) for _ in range(20)))
    assert [partition for partition, _ in log.blobs] == [2] * 20


async def test_where_every_partition_refuses_each_is_tried_once() -> None:
    log = FlakyLog()
    log.refusing = {0, 1, 2}
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await a_buffer(log).append_now([a_fact()])
    assert sorted(log.tried) == [0, 1, 2]


async def test_a_partition_that_does_not_answer_may_have_the_facts_so_no_other_is_tried() -> None:
    log = FlakyLog()
    log.lose_answers = 1
    with pytest.raises(UnavailableError):
        await a_buffer(log).append_now([a_fact()])
    assert len(log.tried) == 1


class OddLog(FlakyLog):
    async def append(self, partition: int, blobs: Sequence[bytes]) -> tuple[Position, ...]:
        self.tried.append(partition)
        return (Position.parse("no position"),)


async def test_an_answer_that_cannot_be_read_confirms_nothing() -> None:
    log, metrics = OddLog(), Metrics()
    with pytest.raises(StoreError, match="no position"):
        await a_buffer(log, metrics).append_now([a_fact()])
    assert len(log.tried) == 1
    assert b'appends_total{outcome="failed"} 1.0' in metrics.render()


async def test_append_now_returns_what_cannot_be_encoded_and_appends_the_rest() -> None:
    log, odd = FlakyLog(), a_fact()
    broken = replace(odd, fact=replace(odd.fact, context=b"\1"))
    facts = [a_fact() for _ in range(5)]
    assert await a_buffer(log).append_now([*facts[:2], broken, *facts[2:]]) == [broken]
    assert sorted(log.ids()) == sorted(fact.fact.decision_id for fact in facts)
    assert await a_buffer(log).append_now([broken]) == [broken]
