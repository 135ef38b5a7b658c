"""What a run puts into the store for its workers: kept while anyone may need it, removed when its run is dead."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from beam_pipelines.generate import job
from beam_pipelines.generate.job import run_job
from beam_pipelines.generate.own_objects import LEASE_MS, leased, new_prefix, remove_dead
from contracts import ManualClock, StoreError, UnavailableError
from stores import FileObjectStore, ObjectStore, open_objects
from tests.beam_pipelines.generate.memory_objects import EndsAt, MemoryObjects
from tests.beam_pipelines.generate.shop import needs_weights, open_shop, row

LATER_MS = LEASE_MS + 1


def plans(objects: ObjectStore) -> list[str]:
    return list(objects.list("plans/"))


def left_by_a_killed_run(objects: ObjectStore, clock: ManualClock) -> str:
    """What is there while a run goes on; nobody will end it."""
    prefix = new_prefix()
    opened = leased(objects, prefix, clock)
    opened.__enter__()
    objects.put(f"{prefix}0.jsonl", b"{}")
    _kept.append(opened)
    return prefix


_kept: list[object] = []


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    _kept.clear()


def test_a_run_that_ends_leaves_nothing() -> None:
    objects = MemoryObjects()
    for error in (None, ValueError("wrong")):
        with suppress(ValueError), leased(objects, prefix := new_prefix(), ManualClock()):
            objects.put(f"{prefix}0.jsonl", b"{}")
            assert plans(objects) == [f"{prefix}0.jsonl", f"{prefix}lease.json"]
            if error is not None:
                raise error
        assert not plans(objects)


def test_what_a_dead_run_left_goes_and_what_a_live_one_needs_stays() -> None:
    objects, clock = MemoryObjects(), ManualClock()
    dead = left_by_a_killed_run(objects, clock)
    clock.advance(LEASE_MS)
    live = left_by_a_killed_run(objects, clock)
    objects.put("plans/notes.txt", b"nobody's")
    assert remove_dead(objects, clock) == 0
    clock.advance(1)
    assert remove_dead(objects, clock) == 1
    assert plans(objects) == sorted([f"{live}0.jsonl", f"{live}lease.json", "plans/notes.txt"])
    assert dead not in plans(objects)


def test_a_run_that_lasts_renews_its_lease() -> None:
    objects, clock = MemoryObjects(), ManualClock()
    with leased(objects, prefix := new_prefix(), clock, every_s=0.001):
        clock.advance(LATER_MS)
        lease, before = f"{prefix}lease.json", time.monotonic()
        while str(clock.now_ms()).encode() not in objects.held[lease]:
            assert time.monotonic() - before < 30
            time.sleep(0.001)
        assert remove_dead(objects, clock) == 0
    assert not plans(objects)


def test_objects_without_a_lease_are_judged_from_when_they_are_first_seen() -> None:
    objects, clock = MemoryObjects(), ManualClock()
    prefix = new_prefix()
    for lease in (None, b"{", b"[]", b'{"renewed_ms": null}'):
        objects.put(f"{prefix}0.jsonl", b"{}")
        if lease is not None:
            objects.put(f"{prefix}lease.json", lease)
        assert remove_dead(objects, clock) == 0
        clock.advance(LEASE_MS)
        assert remove_dead(objects, clock) == 0
        clock.advance(1)
        assert remove_dead(objects, clock) == 1
        assert not plans(objects)


def test_a_removal_that_ends_anywhere_is_finished_by_the_next() -> None:
    for number in range(3):
        objects, clock = MemoryObjects(), ManualClock()
        left_by_a_killed_run(objects, clock)
        clock.advance(LATER_MS)
        with suppress(StoreError):
            remove_dead(objects.beside(before=EndsAt(number, ("remove",))), clock)
        remove_dead(objects, clock)
        assert not plans(objects)


def test_a_store_that_is_away_is_not_asked_to_remove_anything() -> None:
    asked: list[str] = []
    objects = MemoryObjects()
    with pytest.raises(UnavailableError, match="gone"), leased(objects, new_prefix(), ManualClock()):
        objects.before = lambda kind, path: asked.append(kind)
        message = "gone"
        raise UnavailableError(message)
    assert not asked


@needs_weights
def test_a_run_removes_what_a_killed_one_left_and_not_what_another_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(open_shop(tmp_path, [row("stool")]), rows_per_part=1)
    objects = open_objects(config.objects_uri)
    clock = ManualClock()
    monkeypatch.setattr(job, "SystemClock", lambda: clock)
    dead = left_by_a_killed_run(objects, clock)
    clock.advance(LATER_MS)
    live = left_by_a_killed_run(objects, clock)
    # Those of other kinds are nobody's business here.
    FileObjectStore(tmp_path / "objects").put("photos/ab/x", b"x")
    dry = run_job(replace(config, dry_run=True), lambda _: None)
    assert len(plans(objects)) == 4
    assert dry.upkeep == {}
    flags = ("--runner=FnApiRunner", "--direct_running_mode=in_memory")
    report = run_job(replace(config, runner_options=flags), lambda _: None)
    assert report.made == 6
    assert report.upkeep == {"dead_runs_removed": 1}
    assert plans(objects) == [f"{live}0.jsonl", f"{live}lease.json"]
    assert dead != live
    assert objects.exists("photos/ab/x")
