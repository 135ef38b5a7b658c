"""A bucket that answers 503 for some seconds in the middle of a run."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from beam_pipelines.generate import GenerateConfig, Progress
from beam_pipelines.generate.job import run_job
from beam_pipelines.generate.manifest import ManifestRow, read_manifest
from stores import open_objects
from tests.beam_pipelines.generate.shop import open_shop, row
from tests.stores.fake_bucket import FakeBucketServer

_ELSEWHERE = ("--runner=FnApiRunner", "--direct_running_mode=in_memory")
_KINDS = ("creatives/", "cutouts/", "dead-letters/")


@dataclass(frozen=True, slots=True)
class Outage:
    """503 for so many ``seconds``, once ``after`` requests of the run's work were answered."""

    seconds: float
    after: int
    elsewhere: bool


@dataclass(frozen=True, slots=True)
class Endured:
    """What came of it: requests ``refused``, seconds that the run took, and took without it; ``same``: as without."""

    outage: Outage
    refused: int
    took_s: float
    whole_s: float
    same: bool


# Early, in the middle and at the end of the work; the long one takes most of the client's patience of two minutes.
OUTAGES = (Outage(10, 3, False), Outage(10, 12, True), Outage(10, 24, False), Outage(60, 12, True))
HEAD = (
    "| 503 for | after requests | refused | the run took | without | as without |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
)


def line(found: Endured) -> str:
    """One row of the table."""
    where = "elsewhere, " if found.outage.elsewhere else ""
    verdict = "yes" if found.same else "**no**"
    return (
        f"| {where}{found.outage.seconds:.0f} s | {found.outage.after} | {found.refused} | {found.took_s:.0f} s "
        f"| {found.whole_s:.0f} s | {verdict} |\n"
    )


def play(folder: Path, outages: Sequence[Outage] = OUTAGES) -> Iterator[Endured]:
    """Play them, each in an empty bucket."""
    rows = [row("stool"), row("chair"), row("gone", image_uri="missing.png")]
    plain = open_shop(folder / "shop", rows, rows_per_part=4)
    run_job(plain, lambda _: None)
    for number, outage in enumerate(outages):
        with _bucket() as bucket:
            flags = _ELSEWHERE if outage.elsewhere else ()
            config = replace(plain, objects_uri=f"gs://shop/{number}", runner_options=flags)
            begun_s = time.monotonic()
            run_job(replace(config, objects_uri="gs://shop/whole"), lambda _: None)
            whole_s = time.monotonic() - begun_s

            def begin(now: Progress, bucket: FakeBucketServer = bucket, outage: Outage = outage) -> None:
                if now.phase == "rendering":
                    bucket.go_away(outage.seconds, after=outage.after)

            begun_s = time.monotonic()
            report = run_job(config, begin)
            took_s = time.monotonic() - begun_s
            left = list(open_objects(config.objects_uri).list("plans/"))
            same = _contents(config) == _contents(plain) and report.made == report.planned and not left
            yield Endured(outage, bucket.refused, took_s, whole_s, same and bucket.refused > 0)


def _contents(config: GenerateConfig) -> tuple[dict[str, bytes], dict[str, ManifestRow]]:
    objects = open_objects(config.objects_uri)
    return {path: objects.get(path) for kind in _KINDS for path in objects.list(kind)}, read_manifest(objects)


@contextmanager
def _bucket() -> Iterator[FakeBucketServer]:
    with FakeBucketServer() as server:
        os.environ |= {"STORAGE_EMULATOR_HOST": server.url, "GOOGLE_CLOUD_PROJECT": "test"}
        yield server
