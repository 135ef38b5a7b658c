"""Parts that are merged: the same rows for every reader, whenever it looks and wherever a merge ends."""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.generate.existing import FLAGGED, PASSED, gather
from beam_pipelines.generate.manifest import ManifestRow, better, each_row, read_manifest, write_part
from beam_pipelines.generate.merge import ENOUGH, Merged, Size, merge_parts
from beam_pipelines.generate.parts import MERGED_PREFIX, small_parts
from contracts import StoreError
from stores import FileObjectStore, ObjectStore, open_objects
from tests.beam_pipelines.generate.memory_objects import EndsAt, MemoryObjects
from tests.golden.test_manifest import ROWS

Rows = dict[str, ManifestRow]


def row(number: int, **changes: object) -> ManifestRow:
    plain = replace(ROWS[0], creative_id=f"{number * 0x9E3779B1 % 2**32:08x}" * 4)
    return replace(plain, **changes)  # type: ignore[arg-type]


def write(objects: ObjectStore, rows: Iterable[ManifestRow], a_part: int = 2) -> None:
    """Small parts, and pictures."""
    every = list(rows)
    for start in range(0, len(every), a_part):
        write_part(objects, every[start : start + a_part])
    for each in every:
        objects.put_if_absent(f"creatives/{each.creative_id[:2]}/{each.creative_id}.jpg", b"x")


def streamed(objects: ObjectStore) -> Rows:
    found: Rows = {}
    for each in each_row(objects):
        assert each.creative_id not in found
        found[each.creative_id] = each
    return found


def named(rows: Iterable[ManifestRow]) -> Rows:
    return {each.creative_id: each for each in rows}


def states(rows: Rows) -> list[int]:
    return [FLAGGED if rows[name].flagged else PASSED for name in sorted(rows)]


def all_agree(objects: ObjectStore, rows: Rows) -> None:
    assert read_manifest(objects) == rows
    assert streamed(objects) == rows
    found = gather(objects)
    assert len(found) == len(rows)
    assert found.states(sorted(rows)).tolist() == states(rows)


@pytest.fixture(params=["file", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "file":
        return FileObjectStore(tmp_path)
    request.getfixturevalue("bucket")
    return open_objects("gs://shop/backdrop")


def test_small_parts_become_one_and_every_reader_finds_the_same(objects: ObjectStore) -> None:
    rows = [row(n, flagged=n % 3 == 0) for n in range(30)]
    write(objects, rows)
    all_agree(objects, named(rows))
    assert merge_parts(objects) == Merged()
    assert len(small_parts(objects)) == 15 < ENOUGH
    assert merge_parts(objects, enough=15) == Merged(15, 1)
    assert [path.startswith(MERGED_PREFIX) for path in objects.list("manifest/")] == [True]
    all_agree(objects, named(rows))
    # More comes in; what was merged stays as it is.
    write(objects, more := [row(n) for n in range(30, 33)])
    assert merge_parts(objects, enough=2) == Merged(2, 1)
    assert len(list(objects.list(MERGED_PREFIX))) == 2
    all_agree(objects, named([*rows, *more]))


@pytest.mark.parametrize("size", [Size(rows=10), Size(bytes=1_000)])
def test_merged_parts_are_of_limited_size(size: Size) -> None:
    objects = MemoryObjects()
    write(objects, rows := [row(n) for n in range(100)])
    found = merge_parts(objects, enough=1, size=size)
    assert found.small == 50
    assert 5 < found.large == len(list(objects.list(MERGED_PREFIX)))
    all_agree(objects, named(rows))


def steps_of(act: Callable[[ObjectStore], object], objects: MemoryObjects) -> int:
    taken: list[str] = []
    copy = MemoryObjects(lambda kind, path: taken.append(kind))
    copy.held = dict(objects.held)
    act(copy)
    return len(taken)


def merge(objects: ObjectStore) -> None:
    merge_parts(objects, enough=2, size=Size(rows=5))


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_merge_that_ends_at_any_step_leaves_the_same_rows(done: bool) -> None:
    whole = MemoryObjects()
    write(whole, rows := [row(n) for n in range(12)])
    write(whole, [row(3, attempt=1), row(4, flagged=True)], 1)
    expected = {**named(rows), row(4).creative_id: row(4, flagged=True)}
    ended = 0
    for number in range(steps_of(merge, whole)):
        ends = EndsAt(number)
        objects = MemoryObjects()
        objects.held = dict(whole.held)
        with pytest.raises(StoreError, match="ended"):
            merge(objects.beside(after=ends) if done else objects.beside(before=ends))
            assert done
            message = "ended after the last step"
            raise StoreError(message)
        ended += ends.happened
        all_agree(objects, expected)
        merge_parts(objects, enough=1)
        assert not small_parts(objects)
        all_agree(objects, expected)
    assert ended >= 10


class MergesAt:
    """A reader's step that merges, up to a step of the merge's own, when its turn comes."""

    def __init__(self, store: MemoryObjects, at: int, upto: int) -> None:
        self.store, self.at, self.upto, self.taken = store, at, upto, count()

    def __call__(self, kind: str, path: str) -> None:
        if next(self.taken) == self.at:
            with suppress(StoreError):
                merge(self.store.beside(EndsAt(self.upto)))


@pytest.mark.parametrize("read", [read_manifest, streamed, gather])
def test_a_reader_misses_nothing_when_a_merge_comes_in_between(read: Callable[[ObjectStore], object]) -> None:
    whole = MemoryObjects()
    write(whole, rows := [row(n, flagged=n == 2) for n in range(8)])
    steps, merging = steps_of(read, whole), steps_of(merge, whole)
    for at in range(steps):
        # The merge comes at the reader's step ``at``, whole or up to one of its own steps.
        for upto in range(3, merging + 1):
            store = MemoryObjects()
            store.held = dict(whole.held)
            step = MergesAt(store, at, upto)
            found = read(store.beside(step))
            assert next(step.taken) > at
            if isinstance(found, dict):
                assert found == named(rows)
            else:
                assert found.states(sorted(named(rows))).tolist() == states(named(rows))  # type: ignore[attr-defined]


def test_a_part_that_is_listed_and_never_there_is_said() -> None:
    objects = MemoryObjects()
    write(objects, [row(0)])
    (path,) = small_parts(objects)
    (data,) = [objects.held[path]]

    def step(kind: str, _: str) -> None:
        objects.held.pop(path, None) if kind == "get" else objects.held.setdefault(path, data)

    with pytest.raises(StoreError, match=r"listed 10 times.*no such object"):
        read_manifest(objects.beside(step))


# Few creatives, so that parts name the same ones; few verdicts, so that some are equal.
_ROWS = st.builds(
    row,
    st.integers(0, 6),
    flagged=st.booleans(),
    attempt=st.integers(0, 1),
    numbers=st.sampled_from(["{}", '{"a": 1}']),
)
_RUN = st.tuples(st.just("run"), st.lists(_ROWS, min_size=1, max_size=4), st.integers(1, 3))
_MERGE = st.tuples(st.just("merge"), st.integers(1, 4), st.sampled_from([1, 3, 50]))
_KILL = st.tuples(st.just("kill"), st.integers(0, 25), st.booleans())


@given(st.lists(st.one_of(_RUN, _MERGE, _KILL), max_size=8))
def test_runs_merges_and_kills_in_any_order_leave_the_rows_of_the_runs(steps: list[tuple[str, object, object]]) -> None:
    objects = MemoryObjects()
    runs: list[ManifestRow] = []
    for kind, one, other in steps:
        if kind == "run":
            assert isinstance(one, list)
            assert isinstance(other, int)
            runs += one
            write(objects, one, other)
        elif kind == "merge":
            assert isinstance(one, int)
            assert isinstance(other, int)
            merge_parts(objects, enough=one, size=Size(rows=other))
        else:
            assert isinstance(one, int)
            with suppress(StoreError):
                merge(objects.beside(after=EndsAt(one)) if other else objects.beside(before=EndsAt(one)))
    every: dict[str, list[ManifestRow]] = {}
    for each in runs:
        every.setdefault(each.creative_id, []).append(each)
    expected = {name: reduce(better, reversed(rows)) for name, rows in every.items()}
    for rows in every.values():
        assert expected[rows[0].creative_id].flagged == any(each.flagged for each in rows)
    all_agree(objects, expected)


def test_readers_and_two_mergers_on_a_real_folder_at_once(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    rows = [row(n) for n in range(96)]
    known: list[ManifestRow] = []
    errors: list[BaseException] = []
    over = threading.Event()

    def merging() -> None:
        try:
            while not over.is_set():
                merge_parts(objects, enough=2, size=Size(rows=8))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=merging) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for start in range(0, len(rows), 4):
            write(objects, part := rows[start : start + 4], 1)
            known += part
            assert read_manifest(objects) == named(known)
            assert streamed(objects) == named(known)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not errors
    merge_parts(objects, enough=1)
    assert not small_parts(objects)
    all_agree(objects, named(rows))
