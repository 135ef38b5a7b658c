"""The unbounded source over the log: frames, positions, and a watermark that is only ever the log's."""

import pytest
from apache_beam.utils.timestamp import MIN_TIMESTAMP

from beam_pipelines.learn.frames import Frame, decode_frame, encode_frame
from beam_pipelines.learn.source import (
    LogMark,
    LogMarkCoder,
    LogReader,
    LogSource,
    PartitionReader,
    RedisLogOpener,
)
from beam_pipelines.learn.times import ms_of, next_multiple, timestamp_of
from contracts import ORIGIN, FormatError, LogEntry, Position, UnavailableError
from tests.beam_pipelines.memory_log import MemoryLog


def test_frames_follow_one_another_and_stand_at_their_first_entry() -> None:
    log = MemoryLog()
    for append_ms in (100, 100, 120, 150):
        log.add(append_ms)
    reader = PartitionReader(log, 0, ORIGIN, limit=3)
    assert reader.advance()
    first = decode_frame(reader.get_current())
    assert (first.after, [entry.append_ms for entry in first.entries]) == (ORIGIN, [100, 100, 120])
    assert ms_of(reader.get_current_timestamp()) == 100
    assert ms_of(reader.get_watermark()) == 120
    assert reader.advance()
    second = decode_frame(reader.get_current())
    assert second.after == first.entries[-1].position
    assert reader.reached == log.last(0)


def test_an_idle_reader_advances_only_by_the_logs_clock() -> None:
    log = MemoryLog()
    reader = PartitionReader(log, 0, ORIGIN, limit=3)
    log.log_ms = 500
    assert not reader.advance()
    assert ms_of(reader.get_watermark()) == 500
    log.log_ms = 400
    assert not reader.advance()
    assert ms_of(reader.get_watermark()) == 500


def test_a_busy_reader_does_not_believe_the_clock() -> None:
    log = MemoryLog()
    log.add(100)
    log.log_ms = 900
    reader = PartitionReader(log, 0, ORIGIN, limit=3)
    assert reader.advance()
    assert ms_of(reader.get_watermark()) == 100


def test_a_failed_read_moves_nothing() -> None:
    log = MemoryLog()
    log.log_ms = 500
    log.down = True
    reader = PartitionReader(log, 0, ORIGIN, limit=3)
    with pytest.raises(UnavailableError):
        reader.advance()
    assert reader.get_watermark() == MIN_TIMESTAMP
    assert reader.reached == ORIGIN


def test_at_the_end_it_pauses_before_it_looks_again() -> None:
    log, now = MemoryLog(), [0.0]
    log.add(100)
    reader = PartitionReader(log, 0, ORIGIN, limit=3, pause_s=1.0, clock=lambda: now[0])
    assert reader.advance()
    log.add(110)
    assert not reader.advance()
    assert log.reads == 1
    now[0] = 1.0
    assert reader.advance()
    assert log.reads == 2


def test_a_full_read_is_followed_at_once() -> None:
    log = MemoryLog()
    for append_ms in range(1, 6):
        log.add(append_ms)
    reader = PartitionReader(log, 0, ORIGIN, limit=2, pause_s=1e9)
    assert [reader.advance() for _ in range(4)] == [True, True, True, False]


def test_large_entries_make_short_frames() -> None:
    log = MemoryLog()
    for append_ms in range(1, 4):
        log.add(append_ms, bytes(3_000_000))
    reader = PartitionReader(log, 0, ORIGIN, limit=10, pause_s=1e9)
    for _ in range(3):
        assert reader.advance()
        assert len(decode_frame(reader.get_current()).entries) == 1
    assert not reader.advance()


def test_a_reader_asks_for_about_what_fits_a_frame() -> None:
    log = MemoryLog()
    for append_ms in range(1, 40):
        log.add(append_ms, bytes(1_000_000))
    reader = PartitionReader(log, 0, ORIGIN, limit=256, pause_s=1e9)
    sizes = []
    while reader.advance():
        sizes.append(len(decode_frame(reader.get_current()).entries))
    assert set(sizes[:-1]) == {4}
    assert log.entries_read <= 39 + 8


def test_partitions_are_read_in_turn_and_the_one_behind_holds_the_watermark_back() -> None:
    log = MemoryLog(3)
    for append_ms in (100, 110, 120):
        log.add(append_ms, partition=1)
    log.add(500, partition=2)
    log.log_ms = 600
    reader = LogReader([PartitionReader(log, partition, ORIGIN, limit=1) for partition in range(3)])
    read: list[tuple[int, int, int]] = []
    while reader.advance() if read else reader.start():
        frame = decode_frame(reader.get_current())
        read.append((frame.partition, ms_of(reader.get_current_timestamp()), ms_of(reader.get_watermark())))
    assert read == [(1, 100, ms_of(MIN_TIMESTAMP)), (2, 500, 100), (1, 110, 110), (1, 120, 120)]
    assert ms_of(reader.get_watermark()) == 600
    assert reader.get_checkpoint_mark().positions == (ORIGIN, log.last(1), log.last(2))


def test_the_source_is_read_by_one_reader_and_resumes_behind_its_mark() -> None:
    starts = (Position(5, 0), Position(7, 3))
    source = LogSource(RedisLogOpener("redis://127.0.0.1:1/0", 2), starts, 10, 0.1)
    assert list(source.split(20)) == [source]
    assert source.create_reader(None, None).get_checkpoint_mark().positions == starts
    coder = LogMarkCoder()
    mark = coder.decode(coder.encode(LogMark([Position(9, 9), Position(7, 4)])))
    assert mark.positions == (Position(9, 9), Position(7, 4))
    assert source.create_reader(None, mark).get_checkpoint_mark().positions == mark.positions
    assert not source.is_bounded()


def test_damaged_frames_are_refused() -> None:
    data = encode_frame(Frame(1, ORIGIN, (LogEntry(1, Position(2, 3), b"abc"),)))
    assert decode_frame(data).entries[0].blob == b"abc"
    for damaged in (b"", data[:-1], data + b"x", b"XXXX" + data[4:]):
        with pytest.raises(FormatError):
            decode_frame(damaged)


def test_times_are_exact() -> None:
    assert ms_of(timestamp_of(1_795_443_560_001)) == 1_795_443_560_001
    assert [next_multiple(time_ms, 500) for time_ms in (0, 499, 500, 501)] == [500, 500, 1000, 1000]
