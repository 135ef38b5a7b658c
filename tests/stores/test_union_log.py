"""Archive and live log as one log, under trims, holes, overlaps and losses while it is read; real Redis and files."""

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import ORIGIN, GapError, InvalidInputError, LogEntry, Position, keys
from stores import FileObjectStore, RedisEventLog, UnionLog, write_archive
from stores.connect import command
from stores.objects import ObjectStore

FAR = Position(1 << 60, 0)


class Counted:
    """An object store that counts what is asked of the one behind it."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self.gets = self.lists = 0

    def put_if_absent(self, path: str, data: bytes, content_type: str = "") -> bool:
        return self._objects.put_if_absent(path, data, content_type)

    def put(self, path: str, data: bytes, content_type: str = "") -> None:
        self._objects.put(path, data, content_type)

    def get(self, path: str) -> bytes:
        self.gets += 1
        return self._objects.get(path)

    def remove(self, path: str) -> None:
        self._objects.remove(path)

    def exists(self, path: str) -> bool:
        return self._objects.exists(path)

    def list(self, prefix: str = "") -> Iterator[str]:
        self.lists += 1
        return self._objects.list(prefix)

    def url(self, path: str) -> str:
        return self._objects.url(path)


@pytest.fixture
def live(redis_client: redis.Redis) -> RedisEventLog:
    return RedisEventLog(redis_client, 2)


@pytest.fixture
def objects(tmp_path: Path) -> Counted:
    return Counted(FileObjectStore(tmp_path / "objects"))


def fill(live: RedisEventLog, count: int) -> list[LogEntry]:
    live.append(0, [b"entry %d" % n for n in range(count)])
    return list(live.read(0, ORIGIN, 10_000).entries)


def archive(objects: ObjectStore, entries: list[LogEntry], start: int, stop: int) -> None:
    write_archive(objects, entries[start:stop], after=entries[start - 1].position if start else ORIGIN)


def positions(entries: list[LogEntry]) -> list[Position]:
    return [entry.position for entry in entries]


def in_reads_of(log: UnionLog, limit: int, after: Position = ORIGIN) -> list[tuple[LogEntry, ...]]:
    reads = []
    while entries := log.read(0, after, limit).entries:
        reads.append(entries)
        after = entries[-1].position
    return reads


def test_what_is_live_is_not_read_from_the_archive(live: RedisEventLog, objects: Counted) -> None:
    entries = fill(live, 30)
    for start in range(0, 30, 10):
        archive(objects, entries, start, start + 10)
    log = UnionLog(objects, live)
    assert [entry for read in in_reads_of(log, 7) for entry in read] == entries
    log.require_whole(0, ORIGIN)
    assert (objects.lists, objects.gets) == (1, 0)
    live.trim(0, entries[15].position)
    assert [entry for read in in_reads_of(log, 7, entries[14].position) for entry in read] == entries[15:]
    assert (objects.lists, objects.gets) == (1, 0)


def test_archived_objects_are_decoded_once_and_reads_are_full(live: RedisEventLog, objects: Counted) -> None:
    entries = fill(live, 40)
    for start in range(0, 30, 10):
        archive(objects, entries, start, start + 10)
    live.trim(0, entries[25].position)
    reads = in_reads_of(UnionLog(objects, live), 7)
    assert [entry for read in reads for entry in read] == entries
    # A short read would tell a reader that it is at the end.
    assert [len(read) for read in reads] == [7, 7, 7, 7, 7, 5]
    assert (objects.lists, objects.gets) == (1, 3)


def test_trimming_that_overtakes_a_reader_sends_it_to_the_archive(live: RedisEventLog, objects: Counted) -> None:
    entries = fill(live, 40)
    log = UnionLog(objects, live)
    assert list(log.read(0, ORIGIN, 5).entries) == entries[:5]
    archive(objects, entries, 0, 20)
    live.trim(0, entries[20].position)
    assert list(log.read(0, entries[4].position, 5).entries) == entries[5:10]
    archive(objects, entries, 20, 40)
    live.trim(0, FAR)
    rest = [entry for read in in_reads_of(log, 9, entries[9].position) for entry in read]
    assert rest == entries[10:]
    assert objects.gets == 2


def test_the_clock_is_the_live_logs(live: RedisEventLog, objects: Counted) -> None:
    entries = fill(live, 10)
    archive(objects, entries, 0, 10)
    live.trim(0, FAR)
    log = UnionLog(objects, live)
    for after in (ORIGIN, entries[-1].position):
        before_ms = live.clock_ms()
        assert before_ms <= log.read(0, after, 100).log_ms <= live.clock_ms()
    with pytest.raises(InvalidInputError, match="limit = 0"):
        log.read(0, ORIGIN, 0)
    with pytest.raises(InvalidInputError, match="partition 2"):
        log.read(2, ORIGIN, 1)


def test_what_came_back_older_than_its_archive_is_read_from_there(
    live: RedisEventLog, objects: Counted, redis_client: redis.Redis
) -> None:
    entries = fill(live, 20)
    archive(objects, entries, 0, 10)
    archive(objects, entries, 10, 15)
    command(redis_client, "XDEL", keys.events(0), *(str(entry.position) for entry in entries[8:]))
    live.append(0, [b"later"])
    later = live.read(0, entries[7].position, 10).entries
    # Entries 15 to 19 are nowhere; that they were there once is nowhere, either.
    expected = [*entries[:15], *later]
    for after, begin in ((ORIGIN, 0), (entries[3].position, 4), (entries[8].position, 9), (entries[14].position, 15)):
        reads = in_reads_of(UnionLog(objects, live), 4, after)
        assert [entry for read in reads for entry in read] == expected[begin:]
        assert all(len(read) == 4 for read in reads[:-1])


def test_a_gap_is_named_where_it_is_reached(live: RedisEventLog, objects: Counted) -> None:
    entries = fill(live, 30)
    archive(objects, entries, 0, 10)
    archive(objects, entries, 15, 20)
    live.trim(0, entries[18].position)
    log = UnionLog(objects, live)
    assert list(log.read(0, ORIGIN, 100).entries) == entries[:10]
    message = (
        rf"partition 0 .* below {live.trimmed(0)}, entries behind {entries[9].position} are needed: the archive has "
        rf"no object with those up to {entries[14].position} either: put it back"
    )
    for refused in (lambda: log.read(0, entries[9].position, 100), lambda: log.require_whole(0, ORIGIN)):
        with pytest.raises(GapError, match=message):
            refused()
    log.require_whole(0, entries[14].position)
    assert log.trimmed(0) == live.trimmed(0)
    archive(objects, entries, 10, 15)
    log.require_whole(0, ORIGIN)
    assert log.trimmed(0) == ORIGIN
    assert list(log.read(0, entries[9].position, 100).entries) == entries[10:]
    with pytest.raises(GapError, match=rf"read the archive too if it has those up to {live.trimmed(0)}, or begin"):
        UnionLog(None, live).read(0, ORIGIN, 1)


def test_ends_are_those_of_both(live: RedisEventLog, objects: Counted, redis_client: redis.Redis) -> None:
    entries = fill(live, 10)
    log = UnionLog(objects, live)
    archive(objects, entries, 0, 10)
    live.trim(0, entries[5].position)
    assert (log.first(0), log.last(0)) == (entries[0].position, entries[9].position)
    command(redis_client, "FLUSHALL")
    assert (log.first(0), log.last(0)) == (entries[0].position, entries[9].position)
    assert (log.first(1), log.last(1)) == (None, ORIGIN)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 9), st.just(0)),
        st.tuples(st.just("archive"), st.integers(0, 40), st.integers(1, 15)),
        st.tuples(st.just("trim"), st.integers(0, 60), st.just(0)),
        st.tuples(st.just("read"), st.integers(1, 8), st.just(0)),
        st.tuples(st.just("go back"), st.integers(0, 40), st.just(0)),
    ),
    min_size=6,
    max_size=30,
)


@given(program=steps)
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_read_goes_on_in_the_whole_log_or_says_that_it_cannot(
    tmp_path_factory: pytest.TempPathFactory, redis_client: redis.Redis, program: list[tuple[str, int, int]]
) -> None:
    command(redis_client, "FLUSHALL")
    live = RedisEventLog(redis_client, 1)
    objects = FileObjectStore(tmp_path_factory.mktemp("objects"))
    log = UnionLog(objects, live)
    whole: list[LogEntry] = []
    archived: set[Position] = set()
    gone = 0
    reached = ORIGIN
    for step, number, length in program:
        if step == "append":
            own = live.append(0, [b"%d" % (len(whole) + n) for n in range(number)])
            whole += [LogEntry(0, place, b"%d" % (len(whole) + n)) for n, place in enumerate(own)]
        elif step == "archive" and whole:
            # From what the live log still has, as the archive's writer would.
            start = max(number % len(whole), gone)
            archive(objects, whole, start, min(start + length, len(whole)))
            archived |= set(positions(whole[start : start + length]))
        elif step == "trim" and whole:
            live.trim(0, whole[number % len(whole)].position)
            gone = max(gone, number % len(whole))
        elif step == "go back":
            reached = whole[number % len(whole)].position if number and whole else ORIGIN
        elif step == "read":
            begin = bisect_right(positions(whole), reached)
            here = [n for n in range(begin, len(whole)) if n >= gone or whole[n].position in archived]
            until = next((n for n in range(begin, len(whole)) if n not in here), len(whole))
            try:
                found = list(log.read(0, reached, number).entries)
            except GapError:
                assert begin == until < len(whole)
                with pytest.raises(GapError):
                    log.require_whole(0, reached)
            else:
                assert found == whole[begin : min(begin + number, until)]
                assert found or begin == len(whole)
                reached = found[-1].position if found else reached
