"""The unbounded source over the log: frames, positions, and a watermark that is only ever the log's."""

import pytest
from apache_beam.utils.timestamp import MIN_TIMESTAMP

from beam_pipelines.learn.frames import Frame, decode_frame, encode_frame
from beam_pipelines.learn.source import LogMark, LogMarkCoder, LogReader, LogSource, RedisLogOpener, Together
from beam_pipelines.learn.times import ms_of, next_multiple, timestamp_of
from contracts import ORIGIN, FormatError, LogEntry, Position, UnavailableError
from tests.beam_pipelines.memory_log import MemoryLog


def test_frames_follow_one_another_and_stand_at_their_first_entry() -> None:
    log = MemoryLog()
    for append_ms in (100, 100, 120, 150):
        log.add(append_ms)
    reader = LogReader(log, 0, ORIGIN, limit=3)
    assert reader.start()
    first = decode_frame(reader.get_current())
    assert (first.after, [entry.append_ms for entry in first.entries]) == (ORIGIN, [100, 100, 120])
    assert ms_of(reader.get_current_timestamp()) == 100
    assert ms_of(reader.get_watermark()) == 120
    assert reader.advance()
    second = decode_frame(reader.get_current())
    assert second.after == first.entries[-1].position
    assert reader.get_checkpoint_mark().position == log.last(0)


def test_an_idle_reader_advances_only_by_the_logs_clock() -> None:
    log = MemoryLog()
    reader = LogReader(log, 0, ORIGIN, limit=3)
    log.log_ms = 500
    assert not reader.start()
    assert ms_of(reader.get_watermark()) == 500
    log.log_ms = 400
    assert not reader.advance()
    assert ms_of(reader.get_watermark()) == 500


def test_a_busy_reader_does_not_believe_the_clock() -> None:
    log = MemoryLog()
    log.add(100)
    log.log_ms = 900
    reader = LogReader(log, 0, ORIGIN, limit=3)
    assert reader.start()
    assert ms_of(reader.get_watermark()) == 100


def test_a_failed_read_moves_nothing() -> None:
    log = MemoryLog()
    log.log_ms = 500
    log.down = True
    reader = LogReader(log, 0, ORIGIN, limit=3)
    with pytest.raises(UnavailableError):
        reader.start()
    assert reader.get_watermark() == MIN_TIMESTAMP
    assert reader.get_checkpoint_mark().position == ORIGIN


def test_readers_that_read_together_tell_what_has_reached_the_runner_of_all() -> None:
    log, together = MemoryLog(2), Together(2)
    for append_ms in (100, 200):
        log.add(append_ms)
    log.log_ms = 900
    behind, ahead = (LogReader(log, partition, ORIGIN, limit=1, together=together) for partition in (0, 1))
    assert not ahead.start()
    assert ahead.get_watermark() == MIN_TIMESTAMP
    assert behind.start()
    # Read, but the bundle is not over: nobody may count on it.
    assert ms_of(ahead.get_watermark()) == 0
    behind.get_checkpoint_mark()
    assert ms_of(ahead.get_watermark()) == 0
    # It goes on behind its mark: what came before has arrived.
    assert behind.advance()
    assert ms_of(ahead.get_watermark()) == 100
    assert ms_of(behind.get_watermark()) == 0
    ahead.get_checkpoint_mark()
    ahead.advance()
    assert ms_of(behind.get_watermark()) == 200
    # One that begins anew elsewhere does not take back what was.
    resumed = LogReader(log, 0, Position(100, 0), limit=1, together=together)
    assert resumed.start()
    assert ms_of(ahead.get_watermark()) == 100


def test_at_the_end_it_pauses_before_it_looks_again() -> None:
    log, now = MemoryLog(), [0.0]
    log.add(100)
    reader = LogReader(log, 0, ORIGIN, limit=3, pause_s=1.0, clock=lambda: now[0])
    assert reader.start()
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
    reader = LogReader(log, 0, ORIGIN, limit=2, pause_s=1e9)
    assert [reader.advance() for _ in range(4)] == [True, True, True, False]


def test_large_entries_make_short_frames() -> None:
    log = MemoryLog()
    for append_ms in range(1, 4):
        log.add(append_ms, bytes(3_000_000))
    reader = LogReader(log, 0, ORIGIN, limit=10, pause_s=1e9)
    for _ in range(3):
        assert reader.advance()
        assert len(decode_frame(reader.get_current()).entries) == 1
    assert not reader.advance()


def test_a_reader_asks_for_about_what_fits_a_frame() -> None:
    log = MemoryLog()
    for append_ms in range(1, 40):
        log.add(append_ms, bytes(1_000_000))
    reader = LogReader(log, 0, ORIGIN, limit=256, pause_s=1e9)
    sizes = []
    while reader.advance():
        sizes.append(len(decode_frame(reader.get_current()).entries))
    assert set(sizes[:-1]) == {4}
    assert log.entries_read <= 39 + 8


def test_the_source_splits_by_partition_and_resumes_behind_its_mark() -> None:
    starts = (Position(5, 0), Position(7, 3))
    source = LogSource(RedisLogOpener("redis://127.0.0.1:1/0", 2), starts, 10, 0.1)
    splits = source.split(20)
    assert len(splits) == 2
    assert list(splits[1].split(20)) == [splits[1]]
    reader = splits[1].create_reader(None, None)
    assert reader.get_checkpoint_mark().position == starts[1]
    resumed = splits[1].create_reader(None, LogMark(Position(9, 9)))
    assert resumed.get_checkpoint_mark().position == Position(9, 9)
    coder = LogMarkCoder()
    assert coder.decode(coder.encode(LogMark(Position(9, 9)))).position == Position(9, 9)
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
