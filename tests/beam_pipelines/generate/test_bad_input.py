"""What catalogue, disk, bucket and model folder may do to a run: a reason each, nothing half-written."""

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from beam_pipelines.generate import GenerateConfig, Progress, run
from beam_pipelines.generate.job import run_job
from beam_pipelines.generate.manifest import read_dead, read_manifest
from contracts import SetupError, StoreError
from generation import FetchLimits
from stores import open_objects
from tests.beam_pipelines.generate.shop import needs_weights, open_shop, row
from tests.generation.mischief import MischiefServer, closed_port
from tests.generation.studio import encoded, photo_pixels
from tests.generation.test_photo import png_header
from tests.generation.tiny_model import save_tiny_pipeline
from tests.stores.fake_bucket import FakeBucketServer

pytestmark = needs_weights


def everything(config: GenerateConfig) -> dict[str, bytes]:
    objects = open_objects(config.objects_uri)
    return {path: objects.get(path) for path in objects.list() if not path.startswith(("manifest/", "dead-letters/"))}


def animated() -> bytes:
    out = io.BytesIO()
    frames = [Image.fromarray(photo_pixels(64, 64, colour)) for colour in ((150, 30, 60), (20, 90, 160))]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def test_each_broken_row_has_its_reason_and_the_good_ones_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = photo_pixels(200, 200)
    bad = {
        "bomb": png_header(20_000, 20_000),
        "drawing": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
        "moving": animated(),
        "torn": encoded(photo, "JPEG")[:900],
        "nothing": b"",
        "dot": encoded(np.zeros((1, 1, 3), np.uint8)),
        "blank": encoded(np.full((200, 200, 3), 214, np.uint8)),
    }
    for name, data in bad.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    limits = FetchLimits(tries=2, silence_s=0.3, deadline_s=0.6, pause_s=0.01, private_hosts=("127.0.0.1",))
    for module in ("job", "prepare"):
        # The same limits, but that nobody waits minutes for servers that never answer.
        monkeypatch.setattr(f"beam_pipelines.generate.{module}.FetchLimits", lambda **_: limits)
    with MischiefServer() as server:
        server.files["stool.png"] = encoded(photo_pixels(200, 200, (150, 30, 60)))
        web = {"page": "html", "lost": "404", "round": "for-ever", "silent": "hang", "drips": "drip", "half": "cut"}
        rows = [
            row("chair", image_uri="chair.png"),
            row("stool", image_uri=server.url("stool.png")),
            *(row(name) for name in bad),
            *(row(name, image_uri=server.url(path)) for name, path in web.items()),
            row("deaf", image_uri=f"http://127.0.0.1:{closed_port()}/a.jpg"),
            row("inside", image_uri="http://10.0.0.1/a.jpg"),
            row("gone", image_uri="missing.png"),
            row("up", image_uri="ftp://127.0.0.1/a.png"),
            row("chair", image_uri="chair.png", title="again"),
            row("boat", category="boats"),
            row("unnamed", title=""),
            row("priceless", price=float("nan")),
        ]
        config = open_shop(tmp_path / "shop", [row("x")], catalogue=str(tmp_path / "feed.jsonl"))
        (tmp_path / "chair.png").write_bytes(encoded(photo))
        (tmp_path / "feed.jsonl").write_text("\n".join(json.dumps(entry) for entry in rows))
        report = run_job(config, lambda _: None)
    found = {(letter.item_id, letter.reason) for letter in read_dead(open_objects(config.objects_uri))}
    assert found == {
        *((name, "bad_image") for name in bad if name != "blank"),
        ("blank", "mask_empty"),
        ("page", "bad_image"),
        *((name, "no_image") for name in ("lost", "round", "inside", "gone", "up")),
        *((name, "image_unavailable") for name in ("silent", "drips", "half", "deaf")),
        ("chair", "duplicate_id"),
        ("boat", "unknown_category"),
        ("unnamed", "empty_title"),
        ("priceless", "bad_price"),
    }
    assert sum(report.dead_letters.values()) == len(found) == len(rows) - 2
    assert (report.made, report.rejected) == (12, 0)
    manifest = read_manifest(open_objects(config.objects_uri))
    assert {entry.item_id for entry in manifest.values()} == {"chair", "stool"}
    assert not list((tmp_path / "shop" / "objects" / ".partial").iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        os.geteuid()
        or mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("a disk of its own can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_said_nothing_is_half_written_and_the_next_run_goes_on(tmp_path: Path, small_disk: Path) -> None:
    config = open_shop(tmp_path, [row(f"stool{i}") for i in range(4)], rows_per_part=2)
    whole = run_job(config, lambda _: None)
    room = 64 << 10
    assert sum(map(len, everything(config).values())) > room
    full = replace(config, objects_uri=str(small_disk))
    with pytest.raises(StoreError, match="No space left on device"):
        run(full)
    left = everything(full)
    assert left
    assert left.items() <= everything(config).items()
    assert not list((small_disk / ".partial").iterdir())
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    again = run(full)
    assert again.made + again.skipped >= whole.made
    assert everything(full) == everything(config)
    assert read_manifest(open_objects(full.objects_uri)) == read_manifest(open_objects(config.objects_uri))


def test_a_bucket_that_answers_503_for_a_while_costs_time_only(tmp_path: Path, bucket: FakeBucketServer) -> None:
    plain = open_shop(tmp_path, [row("stool")])
    here = run_job(plain, lambda _: None)
    config = replace(plain, objects_uri="gs://shop/backdrop")
    bucket.fail_next = 2

    def trouble(now: Progress) -> None:
        if now.phase == "rendering":
            # What was refused while planning is behind it; now pictures are to be stored.
            assert bucket.fail_next == 0
            bucket.fail_next = 3

    assert run_job(config, trouble) == here
    assert bucket.fail_next == 0
    assert everything(config) == everything(plain)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("unet/diffusion_pytorch_model.safetensors", Path.unlink),
        ("unet/diffusion_pytorch_model.safetensors", cut),
        ("text_encoder/model.safetensors", cut),
        ("controlnet/config.json", Path.unlink),
        ("vae/config.json", cut),
        ("scheduler/scheduler_config.json", Path.unlink),
        ("tokenizer/tokenizer_config.json", cut),
        ("model_index.json", Path.unlink),
    ],
)
def test_a_model_that_is_not_whole_is_named_before_any_work(
    tmp_path: Path, tiny_pipeline: Path, name: str, damage: Callable[[Path], None]
) -> None:
    model = shutil.copytree(tiny_pipeline, tmp_path / "model")
    damage(model / name)
    config = open_shop(tmp_path, [row("stool")], backend="diffusers", backend_options={"model": str(model)})
    with pytest.raises(SetupError, match=name.partition("/")[0]):
        run_job(config, lambda _: None)
    assert not (tmp_path / "objects" / "creatives").exists()
    assert not (tmp_path / "objects" / "cutouts").exists()


@pytest.fixture(scope="module")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    folder.mkdir()
    save_tiny_pipeline(folder)
    return folder
