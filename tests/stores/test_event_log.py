"""One suite for every event log."""

import asyncio
import os
from itertools import pairwise
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import ORIGIN, EventLog, FormatError, InvalidInputError, ManualClock, Position, UnavailableError, keys
from stores import AsyncRedisEventLog, EmbeddedRedis, FileEventLog, RedisEventLog, connect, connect_async
from stores.connect import command
from tests.stores.conftest import PARTITIONS, LogUnderTest

FAR = Position(1 << 60, 0)


def behind(position: Position) -> Position:
    return Position(position.append_ms, position.sequence + 1)


def blobs_of(log: EventLog, partition: int, after: Position = ORIGIN, limit: int = 1000) -> list[bytes]:
    return [entry.blob for entry in log.read(partition, after, limit).entries]


class HugeBytes(bytes):
    def __len__(self) -> int:
        return 1 << 40


def test_empty_partition(under_test: LogUnderTest) -> None:
    log = under_test.log
    before = under_test.now_ms()
    found = log.read(0, ORIGIN, 10)
    assert found.entries == ()
    assert before <= found.log_ms <= under_test.now_ms()
    assert log.first(0) is None
    assert log.last(0) == ORIGIN
    assert log.trimmed(0) == ORIGIN
    assert log.trim(0, FAR) == 0
    assert log.trimmed(0) == ORIGIN
    assert log.partitions == PARTITIONS


def test_entries_keep_order_and_positions_rise(under_test: LogUnderTest) -> None:
    log = under_test.log
    before = under_test.now_ms()
    positions = [*log.append(0, [b"a", b"b"]), *log.append(0, [b""]), *log.append(0, [b"d"] * 500)]
    after = under_test.now_ms()
    assert all(one < two for one, two in pairwise(positions))
    assert all(before <= position.append_ms <= after for position in positions)
    entries = log.read(0, ORIGIN, 1000).entries
    assert [entry.position for entry in entries] == positions
    assert [entry.blob for entry in entries] == [b"a", b"b", b"", *[b"d"] * 500]
    assert {entry.partition for entry in entries} == {0}
    assert log.first(0) == positions[0]
    assert log.last(0) == positions[-1]


def test_appending_nothing_does_nothing(under_test: LogUnderTest) -> None:
    assert under_test.log.append(0, []) == ()
    assert under_test.log.last(0) == ORIGIN


def test_partitions_are_apart(under_test: LogUnderTest) -> None:
    log = under_test.log
    log.append(0, [b"zero"])
    (position,) = log.append(1, [b"one"])
    log.trim(0, FAR)
    assert blobs_of(log, 0) == []
    assert blobs_of(log, 1) == [b"one"]
    assert log.last(1) == position
    assert log.trimmed(1) == ORIGIN


def test_read_starts_behind_and_stops_at_the_limit(under_test: LogUnderTest) -> None:
    log = under_test.log
    positions = log.append(0, [bytes([n]) for n in range(10)])
    assert blobs_of(log, 0, positions[3], limit=4) == [bytes([n]) for n in range(4, 8)]
    assert blobs_of(log, 0, positions[-1]) == []
    assert blobs_of(log, 0, FAR) == []
    # A restart reads from a time, which is no entry's position.
    assert blobs_of(log, 0, Position(positions[0].append_ms - 1, 999)) == [bytes([n]) for n in range(10)]


def test_clock_is_never_behind_what_was_read(under_test: LogUnderTest) -> None:
    log = under_test.log
    for _ in range(50):
        (position,) = log.append(0, [b"x"])
        found = log.read(0, ORIGIN, 1000)
        assert found.entries[-1].position == position
        assert found.log_ms >= position.append_ms
        assert log.read(0, position, 10).log_ms >= position.append_ms


def test_an_entry_never_lies_before_a_clock_already_read(under_test: LogUnderTest) -> None:
    log = under_test.log
    for _ in range(50):
        idle = log.read(0, log.last(0), 10)
        assert idle.entries == ()
        (position,) = log.append(0, [b"x"])
        assert position.append_ms >= idle.log_ms


def test_trim_forgets_below_and_keeps_the_end(under_test: LogUnderTest) -> None:
    log = under_test.log
    positions = log.append(0, [bytes([n]) for n in range(10)])
    assert log.trim(0, positions[4]) == 4
    assert log.trimmed(0) == behind(positions[3])
    assert log.first(0) == positions[4]
    assert blobs_of(log, 0) == [bytes([n]) for n in range(4, 10)]
    for below in (positions[2], positions[4], ORIGIN):
        assert log.trim(0, below) == 0
        assert log.trimmed(0) == behind(positions[3])
    assert log.trim(0, FAR) == 6
    assert log.first(0) is None
    assert log.last(0) == positions[-1]
    assert log.trimmed(0) == behind(positions[-1])
    (later,) = log.append(0, [b"later"])
    assert later >= behind(positions[-1])
    assert blobs_of(log, 0) == [b"later"]
    assert log.last(0) == later


def test_another_handle_sees_the_same(under_test: LogUnderTest) -> None:
    log, other = under_test.log, under_test.reopen()
    positions = log.append(0, [b"a", b"b", b"c"])
    assert blobs_of(other, 0) == [b"a", b"b", b"c"]
    other.trim(0, positions[1])
    assert blobs_of(log, 0) == [b"b", b"c"]
    assert log.trimmed(0) == other.trimmed(0) == behind(positions[0])
    other.append(0, [b"d"])
    assert blobs_of(log, 0) == [b"b", b"c", b"d"]
    other.trim(0, FAR)
    log.append(0, [b"e"])
    assert blobs_of(other, 0) == blobs_of(under_test.reopen(), 0) == [b"e"]


def test_big_blobs(under_test: LogUnderTest) -> None:
    big = os.urandom(8_000_000)
    under_test.log.append(0, [big, b"small"])
    assert blobs_of(under_test.log, 0) == [big, b"small"]


def test_too_big_blob_is_refused_and_nothing_of_its_batch_is_there(under_test: LogUnderTest) -> None:
    with pytest.raises(InvalidInputError, match="append smaller batches"):
        under_test.log.append(0, [b"small", HugeBytes()])
    assert under_test.log.last(0) == ORIGIN


@pytest.mark.parametrize("partition", [-1, PARTITIONS])
def test_unknown_partition_is_refused(under_test: LogUnderTest, partition: int) -> None:
    log = under_test.log
    for call in (
        lambda: log.append(partition, [b"x"]),
        lambda: log.read(partition, ORIGIN, 1),
        lambda: log.first(partition),
        lambda: log.last(partition),
        lambda: log.trimmed(partition),
        lambda: log.trim(partition, FAR),
    ):
        with pytest.raises(InvalidInputError, match=f"partition {partition} does not exist"):
            call()


def test_limit_below_one_is_refused(under_test: LogUnderTest) -> None:
    with pytest.raises(InvalidInputError, match="limit = 0"):
        under_test.log.read(0, ORIGIN, 0)


def test_unavailable_log_raises_and_tells_no_clock(unavailable_log: EventLog) -> None:
    log = unavailable_log
    for call in (
        lambda: log.append(0, [b"x"]),
        lambda: log.read(0, ORIGIN, 1),
        lambda: log.first(0),
        lambda: log.last(0),
        lambda: log.trimmed(0),
        lambda: log.trim(0, FAR),
    ):
        with pytest.raises(UnavailableError):
            call()


Action = tuple[str, int, int]
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, PARTITIONS - 1), st.integers(0, 4)),
        st.tuples(st.just("trim"), st.integers(0, PARTITIONS - 1), st.integers(0, 30)),
        st.tuples(st.just("reopen"), st.just(0), st.just(0)),
    ),
    max_size=30,
)


@given(actions=ACTIONS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_agrees_with_a_plain_list(under_test: LogUnderTest, actions: list[Action]) -> None:
    log = under_test.log
    kept: list[list[tuple[Position, bytes]]] = [[], []]
    ends = [log.last(partition) for partition in range(PARTITIONS)]
    for partition in range(PARTITIONS):
        log.trim(partition, FAR)
    marks = [log.trimmed(partition) for partition in range(PARTITIONS)]
    for name, partition, number in actions:
        if name == "append":
            batch = [f"{len(kept[partition])}-{n}".encode() for n in range(number)]
            kept[partition] += zip(log.append(partition, batch), batch, strict=True)
        elif name == "trim" and kept[partition]:
            below = kept[partition][min(number, len(kept[partition]) - 1)][0]
            gone = [entry for entry in kept[partition] if entry[0] < below]
            assert log.trim(partition, below) == len(gone)
            kept[partition] = kept[partition][len(gone) :]
            marks[partition] = behind(gone[-1][0]) if gone else marks[partition]
        elif name == "reopen":
            log = under_test.reopen()
        if kept[partition]:
            ends[partition] = kept[partition][-1][0]
    for partition in range(PARTITIONS):
        found = [(entry.position, entry.blob) for entry in log.read(partition, ORIGIN, 1000).entries]
        assert found == kept[partition]
        assert log.last(partition) == ends[partition]
        assert log.trimmed(partition) == marks[partition]


def test_clock_that_steps_back_stands_still(tmp_path: Path) -> None:
    clock = ManualClock(1_000)
    log = FileEventLog(tmp_path, clock, 1)
    (first,) = log.append(0, [b"a"])
    clock.advance(-500)
    (second,) = log.append(0, [b"b"])
    assert (first, second) == (Position(1_000, 0), Position(1_000, 1))
    assert log.read(0, second, 1).log_ms == 1_000
    clock.advance(1_000)
    assert log.append(0, [b"c"]) == (Position(1_500, 0),)


def test_half_a_record_from_a_crash_is_passed_over_and_overwritten(tmp_path: Path) -> None:
    log = FileEventLog(tmp_path, ManualClock(1_000), 1)
    log.append(0, [b"whole"])
    path = tmp_path / "0.log"
    whole = path.read_bytes()
    for cut in (1, 23, 24, 26, len(whole) - 1):
        path.write_bytes(whole + whole[:cut])
        log = FileEventLog(tmp_path, ManualClock(1_000), 1)
        assert blobs_of(log, 0) == [b"whole"]
        log.append(0, [b"next"])
        assert blobs_of(FileEventLog(tmp_path, ManualClock(1_000), 1), 0) == [b"whole", b"next"]


def test_damaged_record_is_named(tmp_path: Path) -> None:
    log = FileEventLog(tmp_path, ManualClock(1_000), 1)
    log.append(0, [b"whole"])
    path = tmp_path / "0.log"
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(FormatError, match=r"record 1000-0 in .*0\.log is damaged"):
        log.read(0, ORIGIN, 1)


def test_foreign_entry_in_the_stream_is_read_as_an_empty_blob(redis_client: redis.Redis) -> None:
    # It must not stop a reader for good: an empty blob becomes a dead letter further on.
    command(redis_client, "XADD", keys.events(0), "*", "other", "x")
    assert blobs_of(RedisEventLog(redis_client, 1), 0) == [b""]


def test_every_accepted_entry_survives_a_crash_of_redis(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, fsync="always") as server:
        client = connect(server.url, timeout_s=2.0, retries=0)
        log = RedisEventLog(client, 1)
        positions = log.append(0, [b"a", b"b"])
        log.trim(0, positions[1])
        server.kill()
        with pytest.raises(UnavailableError):
            log.read(0, ORIGIN, 10)
        server.start()
        assert blobs_of(log, 0) == [b"b"]
        assert (log.last(0), log.trimmed(0)) == (positions[1], behind(positions[0]))
        client.close()


def test_redis_that_cannot_take_more_is_unavailable(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        client = connect(server.url, timeout_s=2.0, retries=0)
        command(client, "CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(UnavailableError, match="refused: command not allowed when used memory"):
            RedisEventLog(client, 1).append(0, [b"x"])
        client.close()


async def test_async_writer_appends_and_tells_the_clock(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    log = RedisEventLog(redis_client, PARTITIONS)
    client = connect_async(redis_server.url, timeout_s=5.0)
    writer = AsyncRedisEventLog(client, PARTITIONS)
    assert writer.partitions == PARTITIONS
    assert await writer.append(1, []) == ()
    batches = [[f"{n}a".encode(), f"{n}b".encode()] for n in range(20)]
    positions = await asyncio.gather(*(writer.append(1, batch) for batch in batches))
    found = log.read(1, ORIGIN, 1000).entries
    assert {entry.position: entry.blob for entry in found} == {
        position: blob
        for batch, given in zip(batches, positions, strict=True)
        for position, blob in zip(given, batch, strict=True)
    }
    # A batch is one transaction: nothing of another one comes between.
    blobs = [entry.blob for entry in found]
    assert all(blobs.index(batch[1]) == blobs.index(batch[0]) + 1 for batch in batches)
    assert abs(await writer.clock_ms() - log.clock_ms()) < 60_000
    with pytest.raises(InvalidInputError, match="partition 2 does not exist"):
        await writer.append(2, [b"x"])
    await client.aclose()


async def test_async_writer_without_redis(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        url = server.url
    client = connect_async(url, timeout_s=1.0)
    writer = AsyncRedisEventLog(client, 1)
    with pytest.raises(UnavailableError):
        await writer.append(0, [b"x"])
    with pytest.raises(UnavailableError):
        await writer.clock_ms()
    await client.aclose()


async def test_redis_that_hangs_is_unavailable_in_time(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    client = connect_async(redis_server.url, timeout_s=0.2)
    writer = AsyncRedisEventLog(client, 1)
    await writer.append(0, [b"x"])
    command(redis_client, "CLIENT", "PAUSE", 60_000, "WRITE")
    with pytest.raises(UnavailableError):
        await writer.append(0, [b"y"])
    command(redis_client, "CLIENT", "UNPAUSE")
    await client.aclose()
