"""Runs that end in the middle of every stage, and what the next one makes of it; stores that are far away."""

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from beam_pipelines.generate import GenerateConfig, run
from beam_pipelines.generate.job import run_job
from beam_pipelines.generate.manifest import read_manifest
from contracts import CreativeRef, StoreError
from stores import CreativeIndex, EmbeddedRedis, FileObjectStore, open_objects
from tests.beam_pipelines.generate.shop import PROMPTS, needs_weights, open_shop, row
from tests.stores.fake_bucket import FakeBucketServer

pytestmark = needs_weights

Refs = dict[tuple[str, str], dict[str, CreativeRef]]


def everything(config: GenerateConfig) -> dict[str, bytes]:
    """Pictures and cut-outs by path."""
    objects = open_objects(config.objects_uri)
    return {path: objects.get(path) for kind in ("creatives/", "cutouts/") for path in objects.list(kind)}


class Interruption:
    """Ends a run at the n-th write of a kind, before it or (``after``) when it is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.left, self.after = "", 0, False
        self.lock = threading.Lock()
        self.written: Counter[str] = Counter()
        put, publish = FileObjectStore.put_if_absent, CreativeIndex.publish_all

        def put_if_absent(store: FileObjectStore, path: str, data: bytes, content_type: str = "") -> bool:
            with self._point(path.partition("/")[0]):
                fresh = put(store, path, data, content_type)
                self.written[path] += fresh
                return fresh

        def publish_all(index: CreativeIndex, refs: Refs) -> None:
            with self._point("index"):
                publish(index, refs)

        monkeypatch.setattr(FileObjectStore, "put_if_absent", put_if_absent)
        monkeypatch.setattr(CreativeIndex, "publish_all", publish_all)

    def _point(self, kind: str) -> "_Point":
        return _Point(self, kind)

    def set(self, at: str, number: int, *, after: bool) -> None:
        self.at, self.left, self.after = at, number, after


class _Point:
    """One write; several may be under way at once."""

    def __init__(self, owner: Interruption, kind: str) -> None:
        mine = kind == owner.at
        with owner.lock:
            owner.left -= mine
            self._before = mine and owner.left == 0 and not owner.after
            self._after = mine and owner.left == 0 and owner.after

    def __enter__(self) -> None:
        self._end(self._before)

    def __exit__(self, *_: object) -> None:
        self._end(self._after)

    def _end(self, now: bool) -> None:
        if now:
            message = "interrupted"
            raise StoreError(message)


POINTS = [("cutouts", 1), ("creatives", 1), ("creatives", 5), ("manifest", 1), ("index", 1), ("manifest", 2)]


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_ends_anywhere_is_finished_by_the_next(
    after: bool,
    tmp_path: Path,
    redis_server: EmbeddedRedis,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = open_shop(tmp_path, [row("stool"), row("pot", "garden")], rows_per_part=4)
    run_job(whole, lambda _: None)
    config = replace(whole, objects_uri=str(tmp_path / "again"), redis_url=redis_server.url)
    interruption = Interruption(monkeypatch)
    ended = 0
    for at, number in POINTS:
        interruption.set(at, number, after=after)
        try:
            run_job(config, lambda _: None)
        except StoreError:
            ended += 1
    assert ended >= 4
    interruption.set("", 0, after=after)
    report = run_job(config, lambda _: None)
    assert report.dead_letters == {}
    assert everything(config) == everything(whole)
    assert read_manifest(open_objects(config.objects_uri)) == read_manifest(open_objects(whole.objects_uri))
    assert set(interruption.written.values()) <= {0, 1}
    index = CreativeIndex(redis_client)
    assert {item: set(index.read(item, "square")) for item in ("stool", "pot")} == {
        "stool": {"original", "oak", "slate"},
        "pot": {"original", "sand"},
    }
    assert run_job(config, lambda _: None).made == 0


def test_what_a_worker_process_raises_keeps_its_class(tmp_path: Path) -> None:
    config = open_shop(tmp_path, [row("stool"), row("pot", "garden")], workers=2)
    objects = tmp_path / "objects"
    objects.mkdir()
    # No folder of pictures can be made where a file is.
    (objects / "creatives").write_bytes(b"")
    with pytest.raises(StoreError, match="could not write object 'creatives/"):
        run(config)


@pytest.mark.slow
def test_workers_elsewhere_need_nothing_of_this_machines_disk(tmp_path: Path, bucket: FakeBucketServer) -> None:
    plain = open_shop(tmp_path, [row("stool"), row("pot", "garden"), row("gone", image_uri="missing.png")])
    here = run_job(plain, lambda _: None)
    flags = ("--runner=FnApiRunner", "--direct_running_mode=in_memory")
    config = replace(plain, objects_uri="gs://shop/backdrop", runner_options=flags, chunk=2)
    dry = run_job(replace(config, dry_run=True, runner_options=("--runner=DataflowRunner",)), lambda _: None)
    assert dry.counts == here.counts
    assert not bucket.objects
    assert run_job(config, lambda _: None) == here
    kinds = Counter(name.split("/")[1] for _, name in bucket.objects)
    assert kinds == {"creatives": 10, "cutouts": 2, "photos": 2, "manifest": 1, "dead-letters": 1}
    assert everything(config) == everything(plain)
    Path(plain.prompts).write_text(PROMPTS.replace("on sand", "on old sand"))
    again = run_job(config, lambda _: None)
    assert (again.made, again.skipped) == (2, 8)


def test_a_catalogue_in_many_waves_is_the_same(tmp_path: Path) -> None:
    rows = [row("stool"), row("pot", "garden"), row("chair"), row("bad", price=-1)]
    one = open_shop(tmp_path, rows)
    many = replace(one, objects_uri=str(tmp_path / "many"), chunk=1, wave=2)
    assert run_job(many, lambda _: None) == run_job(one, lambda _: None)
    assert everything(many) == everything(one)
