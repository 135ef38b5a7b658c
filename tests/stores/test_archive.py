import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import (
    ORIGIN,
    FormatError,
    GapError,
    InvalidInputError,
    LogEntry,
    ManualClock,
    Position,
    keys,
)
from stores import (
    FileEventLog,
    FileObjectStore,
    ObjectStore,
    UnionLog,
    archived_ranges,
    archived_through,
    read_archive,
    trim_safely,
    union_entries,
    write_archive,
)
from tests.stores.conftest import LogUnderTest

FAR = Position(1 << 60, 0)


def entries_of(positions: Sequence[int], partition: int = 0) -> list[LogEntry]:
    return [LogEntry(partition, Position(n // 3, n % 3), f"entry {n}".encode()) for n in positions]


def numbers(entries: Sequence[LogEntry]) -> list[int]:
    assert all(
        entry.blob == f"entry {entry.position.append_ms * 3 + entry.position.sequence}".encode() for entry in entries
    )
    return [entry.position.append_ms * 3 + entry.position.sequence for entry in entries]


def behind(entry: LogEntry) -> Position:
    return Position(entry.append_ms, entry.position.sequence + 1)


def at(n: int) -> Position:
    return Position(n // 3, n % 3)


def test_what_is_written_is_read_in_order(objects: ObjectStore) -> None:
    entries = entries_of(range(10, 30))
    (path,) = write_archive(objects, entries, after=at(9))
    assert path == keys.archive_object(0, "3-0", "9-2")
    assert list(read_archive(objects, 0, ORIGIN)) == entries
    assert list(read_archive(objects, 0, at(14))) == entries[5:]
    assert list(read_archive(objects, 0, at(29))) == []
    assert list(read_archive(objects, 1, ORIGIN)) == []


def test_same_range_is_written_once(objects: ObjectStore) -> None:
    entries = entries_of(range(10, 30))
    assert len(write_archive(objects, entries, after=at(9))) == 1
    assert write_archive(objects, entries, after=at(9)) == ()
    assert list(read_archive(objects, 0, ORIGIN)) == entries


def test_nothing_to_write(objects: ObjectStore) -> None:
    assert write_archive(objects, []) == ()
    assert list(objects.list()) == []


def test_overlapping_ranges_give_each_position_once(objects: ObjectStore) -> None:
    for start, stop in ((10, 20), (12, 15), (14, 30), (10, 25), (30, 31)):
        write_archive(objects, entries_of(range(start, stop)), after=at(start - 1))
    assert numbers(list(read_archive(objects, 0, ORIGIN))) == list(range(10, 31))
    assert numbers(list(read_archive(objects, 0, at(16)))) == list(range(17, 31))
    assert archived_through(objects, 0, at(9)) == at(30)


def test_partitions_are_apart(objects: ObjectStore) -> None:
    zero, ten = entries_of(range(1, 6), 1), entries_of(range(5, 9), 10)
    assert len(write_archive(objects, [*zero[:2], *ten, *zero[2:]])) == 2
    assert list(read_archive(objects, 1, ORIGIN)) == zero
    assert list(read_archive(objects, 10, ORIGIN)) == ten


def test_reach_ends_at_the_first_hole(objects: ObjectStore) -> None:
    assert archived_through(objects, 0, at(9)) == at(9)
    write_archive(objects, entries_of(range(10, 20)), after=at(9))
    write_archive(objects, entries_of(range(25, 30)), after=at(24))
    assert archived_through(objects, 0, at(9)) == at(19)
    assert archived_through(objects, 0, at(5)) == at(5)
    assert archived_through(objects, 0, at(26)) == at(29)
    assert [found.last for found in archived_ranges(objects, 0)] == [at(19), at(29)]


def test_binary_and_empty_and_big_blobs(objects: ObjectStore) -> None:
    blobs = [b"", b"\0\xff", os.urandom(1_000_000)]
    entries = [LogEntry(0, Position(1, n), blob) for n, blob in enumerate(blobs)]
    write_archive(objects, entries)
    assert [entry.blob for entry in read_archive(objects, 0, ORIGIN)] == blobs


def test_disorder_is_refused(objects: ObjectStore) -> None:
    for entries, after in (
        (entries_of([2, 1]), None),
        (entries_of([1, 1]), None),
        (entries_of([5, 6]), at(5)),
    ):
        with pytest.raises(InvalidInputError, match="keep log order"):
            write_archive(objects, entries, after=after)
    with pytest.raises(InvalidInputError, match="each partition by itself"):
        write_archive(objects, [*entries_of([5], 0), *entries_of([5], 1)], after=at(1))
    assert list(objects.list()) == []


def test_damage_is_named(objects: ObjectStore) -> None:
    (path,) = write_archive(objects, entries_of(range(10, 30)), after=at(9))
    whole = objects.get(path)
    for damaged in (b"", b"PAR1", whole[: len(whole) // 2], whole[:200] + b"\xff" * 50 + whole[250:]):
        objects.put(path, damaged)
        with pytest.raises(FormatError, match=r"archive/0/3-0_9-2\.parquet"):
            list(read_archive(objects, 0, ORIGIN))


def test_object_of_another_partition_or_name_is_refused(objects: ObjectStore) -> None:
    (path,) = write_archive(objects, entries_of(range(10, 30), 1), after=at(9))
    objects.put(path.replace("archive/1/", "archive/0/"), objects.get(path))
    with pytest.raises(FormatError, match="partition 1"):
        list(read_archive(objects, 0, ORIGIN))
    objects.put("archive/2/notes.txt", b"x")
    with pytest.raises(FormatError, match="not named by a range"):
        archived_ranges(objects, 2)


def fill(under_test: LogUnderTest, count: int) -> list[LogEntry]:
    for start in range(0, count, 7):
        under_test.log.append(0, [f"entry {n}".encode() for n in range(start, min(start + 7, count))])
    return list(under_test.log.read(0, ORIGIN, count).entries)


def archive(objects: ObjectStore, entries: list[LogEntry], start: int, stop: int) -> None:
    write_archive(objects, entries[start:stop], after=entries[start - 1].position if start else ORIGIN)


def test_union_without_archive_is_the_live_log(under_test: LogUnderTest, tmp_path: Path) -> None:
    entries = fill(under_test, 20)
    for objects in (None, FileObjectStore(tmp_path / "objects")):
        assert list(union_entries(objects, under_test.log, 0, ORIGIN, limit=3)) == entries
        assert list(union_entries(objects, under_test.log, 0, entries[4].position, limit=3)) == entries[5:]
        assert list(union_entries(objects, under_test.log, 0, FAR)) == []
        assert list(union_entries(objects, under_test.log, 1, ORIGIN)) == []


def test_union_of_overlap_gives_each_position_once(under_test: LogUnderTest, objects: ObjectStore) -> None:
    entries = fill(under_test, 30)
    archive(objects, entries, 0, 12)
    archive(objects, entries, 8, 20)
    under_test.log.trim(0, entries[15].position)
    assert list(union_entries(objects, under_test.log, 0, ORIGIN, limit=4)) == entries
    assert list(union_entries(objects, under_test.log, 0, entries[10].position, limit=4)) == entries[11:]


def test_union_when_all_is_trimmed_up_to_the_archive(under_test: LogUnderTest, objects: ObjectStore) -> None:
    entries = fill(under_test, 30)
    archive(objects, entries, 0, 30)
    under_test.log.trim(0, FAR)
    assert list(union_entries(objects, under_test.log, 0, ORIGIN)) == entries
    under_test.log.append(0, [b"later"])
    assert [entry.blob for entry in union_entries(objects, under_test.log, 0, ORIGIN)][-2:] == [b"entry 29", b"later"]


def test_gap_behind_the_archive_is_an_error(under_test: LogUnderTest, objects: ObjectStore) -> None:
    entries = fill(under_test, 30)
    archive(objects, entries, 0, 12)
    under_test.log.trim(0, entries[13].position)
    with pytest.raises(
        GapError, match=rf"below {behind(entries[12])}, entries behind {entries[11].position} are needed"
    ):
        list(union_entries(objects, under_test.log, 0, ORIGIN))
    assert list(union_entries(objects, under_test.log, 0, entries[12].position)) == entries[13:]


def test_gap_without_archive_is_an_error(under_test: LogUnderTest) -> None:
    entries = fill(under_test, 10)
    under_test.log.trim(0, entries[2].position)
    with pytest.raises(GapError, match="read the archive too"):
        list(union_entries(None, under_test.log, 0, ORIGIN))
    with pytest.raises(GapError):
        UnionLog(None, under_test.log).require_whole(0, entries[0].position)
    UnionLog(None, under_test.log).require_whole(0, entries[1].position)


def test_hole_inside_the_archive_is_filled_from_the_log_or_an_error(
    under_test: LogUnderTest, objects: ObjectStore
) -> None:
    entries = fill(under_test, 30)
    archive(objects, entries, 0, 10)
    archive(objects, entries, 15, 25)
    assert list(union_entries(objects, under_test.log, 0, ORIGIN, limit=2)) == entries
    under_test.log.trim(0, entries[10].position)
    assert list(union_entries(objects, under_test.log, 0, ORIGIN, limit=2)) == entries
    under_test.log.trim(0, entries[12].position)
    with pytest.raises(GapError):
        list(union_entries(objects, under_test.log, 0, ORIGIN, limit=2))


def test_range_of_unknown_beginning_does_not_hide_a_hole(under_test: LogUnderTest, objects: ObjectStore) -> None:
    entries = fill(under_test, 30)
    archive(objects, entries, 0, 10)
    write_archive(objects, entries[12:20])
    assert list(union_entries(objects, under_test.log, 0, ORIGIN)) == entries
    under_test.log.trim(0, entries[20].position)
    with pytest.raises(GapError):
        list(union_entries(objects, under_test.log, 0, ORIGIN))


def test_trimming_keeps_what_anyone_needs(under_test: LogUnderTest) -> None:
    log = under_test.log
    entries = fill(under_test, 30)
    first_ms, archived = entries[0].append_ms, entries[20].position
    assert trim_safely(log, 0, restart_ms=[-5, 1 << 50], archived=archived) == 0
    assert trim_safely(log, 0, restart_ms=[first_ms], archived=archived) == 0
    assert trim_safely(log, 0, restart_ms=[1 << 50], archived=ORIGIN) == 0
    assert trim_safely(log, 0, restart_ms=[1 << 50], archived=archived, others=[entries[4].position]) == 4
    assert trim_safely(log, 0, restart_ms=[1 << 50, 1 << 51], archived=archived) == 16
    assert log.first(0) == archived
    assert log.trimmed(0) == behind(entries[19])
    assert trim_safely(log, 0, restart_ms=[], archived=entries[22].position) == 2


@given(
    count=st.integers(1, 60),
    cuts=st.lists(st.tuples(st.integers(0, 59), st.integers(1, 30), st.booleans()), max_size=8),
    trim=st.integers(0, 60),
    begin=st.integers(0, 60),
    batch=st.integers(1, 9),
)
@settings(max_examples=60)
def test_union_is_the_whole_log_or_says_that_it_is_not(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    cuts: list[tuple[int, int, bool]],
    trim: int,
    begin: int,
    batch: int,
) -> None:
    folder = tmp_path_factory.mktemp("union")
    clock = ManualClock(1_000)
    log = FileEventLog(folder / "log", clock, 1, sync=False)
    for n in range(count):
        log.append(0, [f"entry {n}".encode()])
        clock.advance(n % 3)
    entries = list(log.read(0, ORIGIN, count).entries)
    objects = FileObjectStore(folder / "objects")
    covered: set[int] = set()
    claimed: set[int] = set()
    for start, length, linked in cuts:
        own = range(start, min(start + length, count))
        if own:
            after = (entries[start - 1].position if start else ORIGIN) if linked else None
            write_archive(objects, entries[start : own.stop], after=after)
            covered |= set(own)
            claimed |= {n for n in own if linked or n > start}
    if trim < count:
        log.trim(0, entries[trim].position)
    else:
        log.trim(0, FAR)
    after = entries[begin - 1].position if 0 < begin <= count else ORIGIN
    wanted = entries[begin:] if begin <= count else entries
    missing = {n for n in range(count - len(wanted), min(trim, count)) if n not in covered}
    try:
        found = list(union_entries(objects, log, 0, after, limit=batch))
    except GapError:
        # Only a range that claims no link to the one before may raise an alarm with nothing missing.
        unclaimed = {n for n in range(count - len(wanted), min(trim, count)) if n not in claimed}
        assert missing or unclaimed
    else:
        assert not missing
        assert found == wanted
