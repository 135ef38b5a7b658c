"""The job in one process: bad input, the index, repeats, the gate."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image

from beam_pipelines.generate import GenerateConfig, GenerateReport, Progress
from beam_pipelines.generate.job import run_job
from beam_pipelines.generate.manifest import read_dead, read_manifest, write_part
from beam_pipelines.generate.merge import ENOUGH
from beam_pipelines.generate.parts import small_parts
from contracts import SetupError
from stores import ArmStatus, CreativeIndex, EmbeddedRedis, FileObjectStore, PolicyStore
from tests.beam_pipelines.generate.shop import PROMPTS, needs_weights, open_shop, row
from tests.beam_pipelines.generate.test_merge import row as other_row
from tests.generation.mischief import MischiefServer
from tests.generation.studio import encoded, photo_pixels
from tests.generation.test_photo import png_header

pytestmark = needs_weights


def quiet(_: Progress) -> None:
    """Nobody watches."""


def contents(config: GenerateConfig) -> dict[str, bytes]:
    """Every picture by path."""
    objects = FileObjectStore(Path(config.objects_uri))
    return {path: objects.get(path) for path in objects.list("creatives/")}


def test_bad_products_become_dead_letters_and_the_others_go_on(tmp_path: Path) -> None:
    photo = photo_pixels(200, 200)
    bad = {
        "text": b"not an image",
        "cut": encoded(photo)[:500],
        "dot": encoded(np.zeros((1, 1, 3), np.uint8)),
        "bomb": png_header(20_000, 20_000),
        "empty": encoded(np.full((200, 200, 3), 214, np.uint8)),
    }
    for name, data in bad.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    cmyk = io.BytesIO()
    Image.fromarray(photo).convert("CMYK").save(cmyk, "TIFF")
    (tmp_path / "cmyk.png").write_bytes(cmyk.getvalue())
    exif = Image.Exif()
    exif[0x0112] = 8
    (tmp_path / "turned.png").write_bytes(encoded(photo, exif=exif))
    (tmp_path / "palette.png").write_bytes(_palette(photo))
    rows = [
        *(row(name) for name in ("stool", "cmyk", "turned", "palette", *bad)),
        row("gone", image_uri="missing.png"),
        row("stool", title="again"),
        row("boat", category="boats"),
        row("unnamed", title=""),
        row("priceless", price=float("nan")),
    ]
    config = open_shop(tmp_path, rows)
    report = run_job(config, quiet)
    assert report.made == report.planned - 5 * 6 == 4 * 6
    assert report.dead_letters["bad_image"] == 4
    assert {"duplicate_id", "unknown_category", "empty_title", "bad_price", "no_image"} <= report.dead_letters.keys()
    assert sum(report.dead_letters.values()) == 10
    assert {d.item_id for d in read_dead(FileObjectStore(tmp_path / "objects"))} >= {*bad, "gone", "boat", "priceless"}
    assert len(contents(config)) == 24
    again = run_job(config, quiet)
    assert (again.made, again.skipped) == (0, 24)
    assert again.dead_letters == report.dead_letters


def _palette(photo: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(photo).convert("P").save(out, "PNG")
    return out.getvalue()


def test_running_again_changes_nothing_and_one_prompt_only_itself(tmp_path: Path) -> None:
    config = open_shop(tmp_path, [row("stool"), row("pot", "garden")])
    first = run_job(config, quiet)
    assert (first.planned, first.made, first.rejected) == (10, 10, 0)
    before = contents(config)
    parts = list(FileObjectStore(tmp_path / "objects").list("manifest/"))
    assert run_job(config, quiet).skipped == 10
    assert contents(config) == before
    assert list(FileObjectStore(tmp_path / "objects").list("manifest/")) == parts
    Path(config.prompts).write_text(PROMPTS.replace("on oak", "on old oak"))
    report = run_job(config, quiet)
    assert (report.made, report.skipped) == (2, 8)
    after = contents(config)
    assert before.items() <= after.items()
    assert len(after) == 12


def test_pictures_without_manifest_are_found_again(tmp_path: Path) -> None:
    config = open_shop(tmp_path, [row("stool")])
    run_job(config, quiet)
    before = contents(config)
    for part in (tmp_path / "objects" / "manifest").iterdir():
        part.unlink()
    report = run_job(config, quiet)
    assert (report.planned, report.made) == (6, 0)
    assert contents(config) == before
    assert len(read_manifest(FileObjectStore(tmp_path / "objects"))) == 6


def test_the_index_shows_what_exists(tmp_path: Path, redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    config = open_shop(tmp_path, [row("stool"), row("pot", "garden")], redis_url=redis_server.url)
    index = CreativeIndex(redis_client)
    assert run_job(config, quiet).published == 10
    shown = index.read("stool", "banner")
    assert set(shown) == {"original", "oak", "slate"}
    assert all(ref.url.startswith("http://localhost/media/creatives/") for ref in shown.values())
    assert (shown["oak"].width, shown["oak"].height) == (240, 80)
    arms = PolicyStore(redis_client)
    assert arms.arms("garden") == {
        "sand": ArmStatus("active", {"surface": "sand", "scene": "beach", "light": "golden-hour", "mood": "warm"})
    }
    oak = arms.arms("seating")["oak"]
    assert set(arms.arms("seating")) == {"oak", "slate"}
    arms.set_arm("seating", "oak", ArmStatus("paused"))
    # A prompt that is gone leaves the index; one that changed is replaced; a run for some arms takes nothing away.
    without_slate = "\n".join(line for line in PROMPTS.splitlines() if "arm: slate" not in line)
    Path(config.prompts).write_text(without_slate.replace("on oak", "on old oak"))
    run_job(replace(config, only=("stool", "oak")), quiet)
    partly = index.read("stool", "banner")
    assert set(partly) == {"original", "oak", "slate"}
    assert partly["oak"] != shown["oak"]
    run_job(config, quiet)
    assert set(index.read("stool", "banner")) == {"original", "oak"}
    # Its arm stays known, and whether an arm rests is not the job's to change.
    assert set(arms.arms("seating")) == {"oak", "slate"}
    assert arms.arms("seating")["oak"] == replace(oak, status="paused")
    # Everything that exists is published again into an empty index.
    redis_client.flushall()
    report = run_job(config, quiet)
    assert (report.made, report.published) == (0, 8)


def test_flagged_pictures_are_kept_and_not_published(
    tmp_path: Path, redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    config = open_shop(tmp_path, [row("stool", image_uri="dust.png")], redis_url=redis_server.url)
    picture = np.full((400, 400, 4), 0, np.uint8)
    # A product that is no larger than a sixth of any slot cannot pass the gate.
    picture[180:226, 180:226] = (150, 60, 40, 255)
    (tmp_path / "dust.png").write_bytes(encoded(picture))
    (tmp_path / "placements.yaml").write_text(
        "version: 1\nplacements: [{placement: huge, width: 700, height: 700, position: top}]"
    )
    report = run_job(config, quiet)
    assert (report.made, report.rejected, report.retried) == (3, 2, 4)
    objects = FileObjectStore(tmp_path / "objects")
    manifest = read_manifest(objects)
    assert {r.arm for r in manifest.values() if r.flagged} == {"oak", "slate"}
    assert {r.reasons for r in manifest.values() if r.flagged} == {("size",)}
    for _ in range(2):
        assert set(CreativeIndex(redis_client).read("stool", "huge")) == {"original"}
        redis_client.flushall()
        assert run_job(config, quiet).published == 1


def test_a_feed_with_photos_on_the_web(tmp_path: Path) -> None:
    with MischiefServer() as server:
        server.files["stool.png"] = encoded(photo_pixels(200, 200, (150, 30, 60)))
        names = {"stool": "to-_stool.png", "page": "html", "gone": "404", "loop": "for-ever"}
        feed = [row(item, image_uri=server.url(path)) for item, path in names.items()]
        config = open_shop(tmp_path, [row("x")], private_hosts=("127.0.0.1",), catalogue=str(tmp_path / "feed.jsonl"))
        (tmp_path / "feed.jsonl").write_text("\n".join(json.dumps(entry) for entry in feed))
        dry = run_job(replace(config, dry_run=True), quiet)
        assert dry.planned == 6
        assert not (tmp_path / "objects").exists()
        report = run_job(config, quiet)
        assert (report.made, report.dead_letters) == (6, {"bad_image": 1, "no_image": 2})
        (kept,) = FileObjectStore(tmp_path / "objects").list("photos/")
        assert FileObjectStore(tmp_path / "objects").get(kept) == server.files["stool.png"]
        assert run_job(config, quiet).made == 0
    # The hosts of others' photos are not asked when they are inside.
    assert run_job(replace(config, private_hosts=()), quiet).dead_letters == {"no_image": 4}


def test_a_dry_run_makes_nothing(tmp_path: Path) -> None:
    config = open_shop(tmp_path, [row("stool")], dry_run=True, weights=str(tmp_path / "none.onnx"))
    assert (run_job(config, quiet).planned, run_job(config, quiet).made) == (6, 0)
    assert not (tmp_path / "objects" / "creatives").exists()


def test_missing_weights_are_told_before_anything_starts(tmp_path: Path) -> None:
    config = open_shop(tmp_path, [row("stool")], weights=str(tmp_path / "none.onnx"))
    with pytest.raises(SetupError, match="make setup"):
        run_job(config, quiet)


def test_a_run_merges_the_small_parts_that_runs_have_left(tmp_path: Path) -> None:
    config = open_shop(tmp_path, [row("stool")])
    objects = FileObjectStore(tmp_path / "objects")
    earlier = [other_row(number) for number in range(ENOUGH - 1)]
    for each in earlier:
        write_part(objects, [each])
    assert run_job(replace(config, dry_run=True), lambda _: None).upkeep == {}
    report = run_job(config, lambda _: None)
    assert report.upkeep == {"parts_merged": ENOUGH, "merged_parts": 1}
    assert GenerateReport.from_json(report.to_json()).upkeep == report.upkeep
    assert not small_parts(objects)
    rows = read_manifest(objects)
    assert len(rows) == len(earlier) + 6
    assert rows.items() >= {each.creative_id: each for each in earlier}.items()
    again = run_job(config, lambda _: None)
    assert (again.made, again.skipped, again.upkeep) == (0, 6, {})
