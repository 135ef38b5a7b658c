"""A bucket that answers 503 for some time, or for ever."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from beam_pipelines.generate import GenerateConfig, Progress
from beam_pipelines.generate.job import run_job
from beam_pipelines.generate.manifest import read_manifest
from beam_pipelines.generate.own_objects import LEASE_MS, remove_dead
from contracts import ManualClock, SystemClock, UnavailableError
from stores import open_objects
from stores.objects_gcs import GcsObjectStore
from tests.beam_pipelines.generate.shop import needs_weights, open_shop, row
from tests.stores.fake_bucket import FakeBucketServer

pytestmark = needs_weights

ELSEWHERE = ("--runner=FnApiRunner", "--direct_running_mode=in_memory")
KINDS = ("creatives/", "cutouts/", "dead-letters/")


def everything(config: GenerateConfig) -> dict[str, bytes]:
    objects = open_objects(config.objects_uri)
    return {path: objects.get(path) for kind in KINDS for path in objects.list(kind)}


@pytest.fixture
def shops(tmp_path: Path, bucket: FakeBucketServer) -> Iterator[tuple[GenerateConfig, GenerateConfig]]:
    """The same shop with a folder, which has all that is wanted, and with a bucket."""
    plain = open_shop(tmp_path, [row("stool"), row("gone", image_uri="missing.png")], rows_per_part=2)
    run_job(plain, lambda _: None)
    yield plain, replace(plain, objects_uri="gs://shop/backdrop", runner_options=ELSEWHERE)


@pytest.mark.slow
def test_a_bucket_that_is_away_for_seconds_costs_time_only(
    shops: tuple[GenerateConfig, GenerateConfig], bucket: FakeBucketServer
) -> None:
    plain, config = shops

    def begin(now: Progress) -> None:
        if now.phase == "rendering":
            # In the middle of the work: a photo, a cut-out and some pictures are stored.
            bucket.go_away(1.5, after=8)

    report = run_job(config, begin)
    assert bucket.refused >= 2, bucket.refused
    assert (report.planned, report.made, report.skipped) == (6, 6, 0)
    assert everything(config) == everything(plain)
    stores = [open_objects(each.objects_uri) for each in (config, plain)]
    assert read_manifest(stores[0]) == read_manifest(stores[1])
    assert not list(stores[0].list("plans/"))


def test_a_bucket_that_does_not_come_back_is_said_and_the_next_run_goes_on(
    shops: tuple[GenerateConfig, GenerateConfig], bucket: FakeBucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, config = shops

    def begin(now: Progress) -> None:
        if now.phase == "rendering":
            bucket.go_away(3_600.0, after=8)

    with monkeypatch.context() as patience:
        # The same, but that nobody waits for two minutes.
        patience.setitem(GcsObjectStore.__init__.__kwdefaults__, "retry_s", 0.2)  # type: ignore[arg-type]
        with pytest.raises(UnavailableError, match=r"could not .* object .*: the bucket did not answer"):
            run_job(config, begin)
        asked = bucket.refused
    assert asked > 0
    bucket.come_back()
    objects, before = open_objects(config.objects_uri), everything(config)
    assert 0 < len(before) < len(everything(plain))
    assert before.items() <= everything(plain).items()
    report = run_job(config, lambda _: None)
    stored = sum(path.startswith("creatives/") for path in before)
    assert report.made == 6 - stored
    assert everything(config) == everything(plain)
    assert read_manifest(objects) == read_manifest(open_objects(plain.objects_uri))
    # What the first run had for its workers is all that is left of it, for as long as its lease lasts.
    assert len({path.split("/")[1] for path in objects.list("plans/")}) == 1
    assert remove_dead(objects, ManualClock(SystemClock().now_ms() + 2 * LEASE_MS)) == 1
    assert not list(objects.list("plans/"))
