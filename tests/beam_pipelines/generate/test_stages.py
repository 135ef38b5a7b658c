"""Each stage by itself: what breaks one product, what breaks a bundle, what is done only once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import apache_beam as beam
import pytest
from apache_beam.ml.inference.base import RunInference
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to

from beam_pipelines.generate.elements import Done, Example, Item, Painted
from beam_pipelines.generate.paint import PictureHandler
from beam_pipelines.generate.prepare import DEAD, SETTLED, Prepare
from beam_pipelines.generate.settings import StageSettings
from beam_pipelines.generate.store import StorePictures
from contracts import Product, StoreError
from generation import LIMITS, U2NETP, ProceduralBackend, RenderRequest, Segmenter, SteadyPainter
from generation.arrays import Floats, Pixels
from generation.recut import RECUT_LIMITS
from stores import FileObjectStore
from tests.beam_pipelines.generate.shop import PROMPTS, SLOTS
from tests.generation.studio import BackdropSegmenter, encoded, photo_pixels

SEATING = Product("stool", "seating", "A stool", "", 5.0, "", "stool.png")


class BrokenModel:
    """A segmenter that fails as model libraries do: with an error that is none of ours."""

    def mask(self, rgb: Pixels) -> Floats:
        message = "in the model"
        raise ZeroDivisionError(message)


class FullStore(FileObjectStore):
    """A store whose disk is full."""

    def put_if_absent(self, path: str, data: bytes, content_type: str = "") -> bool:
        message = "disk full"
        raise StoreError(message)


@pytest.fixture
def settings(tmp_path: Path) -> StageSettings:
    (tmp_path / "stool.png").write_bytes(encoded(photo_pixels(200, 200, (150, 30, 60))))
    return StageSettings(
        objects_uri=str(tmp_path / "objects"),
        media_base_url="",
        redis_url="",
        plans_uri=str(tmp_path / "plans"),
        existing=(),
        prompts=PROMPTS,
        placements=SLOTS,
        folder=str(tmp_path),
        weights="",
        segmenter=U2NETP,
        backend="procedural",
        backend_options={},
        gate={},
        attempts=1,
        batch=4,
        rows_per_part=64,
    )


def prepare(settings: StageSettings, segmenter: Segmenter, products: Sequence[Product] = (SEATING,)) -> list[object]:
    stage = Prepare(settings)
    stage.setup()
    stage._segmenter = segmenter
    return list(stage.process([Item(product).to_bytes() for product in products]))


def paint(settings: StageSettings, example: bytes, model: SteadyPainter) -> Painted:
    (found,) = PictureHandler(settings).run_inference([example], model)
    return Painted.from_bytes(found)


def one_example(settings: StageSettings) -> bytes:
    (example,) = prepare(settings, BackdropSegmenter())
    assert isinstance(example, bytes)
    return example


def test_a_product_that_breaks_a_library_is_a_dead_letter_and_settled(settings: StageSettings) -> None:
    dead, settled = prepare(settings, BrokenModel())
    assert (dead.tag, settled.tag) == (DEAD, SETTLED)  # type: ignore[attr-defined]
    letter = json.loads(dead.value)  # type: ignore[attr-defined]
    assert (letter["item_id"], letter["reason"]) == ("stool", "render_failed")
    assert letter["detail"] == "ZeroDivisionError: in the model"
    assert Done.from_bytes(settled.value) == Done("stool", (), ())  # type: ignore[attr-defined]


def test_a_photo_is_cut_out_once_whoever_shows_it(settings: StageSettings) -> None:
    segmenter = BackdropSegmenter()
    both = prepare(settings, segmenter, [SEATING, replace(SEATING, item_id="stool-2")])
    assert segmenter.calls == 1
    again = prepare(replace(settings, prompts=PROMPTS.replace("on oak", "on old oak")), segmenter)
    assert segmenter.calls == 1
    first, second = (Example.from_bytes(each) for each in both if isinstance(each, bytes))
    assert first.cutout == second.cutout
    assert isinstance(again[0], bytes)


def test_a_store_that_fails_is_not_the_products_fault(settings: StageSettings, tmp_path: Path) -> None:
    stage = Prepare(settings)
    stage.setup()
    stage._segmenter = BackdropSegmenter()
    stage._objects = FullStore(tmp_path / "full")
    with pytest.raises(StoreError, match="disk"):
        list(stage.process([Item(SEATING).to_bytes()]))
    painted = paint(settings, one_example(settings), SteadyPainter(ProceduralBackend()))
    store = StorePictures(settings)
    store._objects = FullStore(tmp_path / "full")
    with pytest.raises(StoreError, match="disk"):
        list(store.process(painted.to_bytes()))


def test_every_number_of_the_gate_is_in_the_manifest(settings: StageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StageSettings, "open_segmenter", lambda _: BackdropSegmenter())
    painted = paint(replace(settings, gate={"recut": "yes"}), one_example(settings), SteadyPainter(ProceduralBackend()))
    assert len(painted.made) == 4
    assert all(set(json.loads(row.numbers)) == {*LIMITS, *RECUT_LIMITS} for row in painted.made)


class Fussy(ProceduralBackend):
    """Cannot paint a banner; ``most`` pictures at once fill its memory."""

    def __init__(self, most: int = 99) -> None:
        super().__init__()
        self.most = most
        self.batches: list[int] = []

    def render(self, requests: Sequence[RenderRequest]) -> list[Pixels]:
        self.batches.append(len(requests))
        if len(requests) > self.most:
            raise MemoryError
        if any(request.placed.rgb.shape[1] == 240 for request in requests):
            message = "no banners"
            raise RuntimeError(message)
        return super().render(requests)


def test_what_one_picture_lacks_is_in_its_products_result(settings: StageSettings) -> None:
    painted = paint(settings, one_example(settings), SteadyPainter(Fussy()))
    assert {row.placement for row in painted.made} == {"square"}
    assert painted.failed == (("render_failed", "RuntimeError: no banners"),) * 2
    store = StorePictures(settings)
    store.setup()
    done, dead = store.process(painted.to_bytes())
    assert json.loads(dead.value)["detail"] == "RuntimeError: no banners (and 1 more pictures)"
    # Untouched photos in two slots, and two pictures.
    assert len(Done.from_bytes(done).rows) == 4
    assert len(list(FileObjectStore(Path(settings.objects_uri)).list("creatives/"))) == 4


def test_a_full_memory_makes_batches_smaller_and_pictures_the_same(settings: StageSettings) -> None:
    example = one_example(settings)
    whole = paint(settings, example, SteadyPainter(ProceduralBackend()))
    backend = Fussy(most=1)
    squares = SLOTS.replace("width: 240, height: 80", "width: 80, height: 240")
    example = one_example(replace(settings, placements=squares))
    painter = SteadyPainter(backend)
    first = paint(settings, example, painter)
    assert backend.batches == [4, 2, 1, 1, 1, 1]
    paint(settings, example, painter)
    assert backend.batches[6:] == [1, 1, 1, 1]
    assert not first.failed
    by_id = dict(zip((row.creative_id for row in whole.made), whole.files, strict=True))
    same = [row for row in first.made if row.creative_id in by_id]
    assert len(same) == 2
    assert all(by_id[row.creative_id] == file for row, file in zip(first.made, first.files, strict=True) if row in same)
    alone = paint(settings, example, SteadyPainter(Fussy(most=0)))
    assert {reason for reason, _ in alone.failed} == {"out_of_memory"}


def test_a_damaged_cutout_is_said_and_a_missing_one_is_the_stores_fault(settings: StageSettings) -> None:
    example = one_example(settings)
    path = Example.from_bytes(example).cutout
    objects = FileObjectStore(Path(settings.objects_uri))
    objects.put(path, objects.get(path)[:200])
    failed = paint(settings, example, SteadyPainter(ProceduralBackend())).failed
    assert len(failed) == 4
    assert "remove it" in failed[0][1]
    objects.remove(path)
    with pytest.raises(StoreError, match="no such object"):
        paint(settings, example, SteadyPainter(ProceduralBackend()))


@pytest.mark.parametrize("shared", [False, True])
def test_beam_runs_the_handler_and_may_share_its_model(settings: StageSettings, shared: bool) -> None:
    example = one_example(settings)
    expected = paint(settings, example, SteadyPainter(ProceduralBackend())).to_bytes()
    make, check, create = cast(Any, Pipeline), cast(Any, assert_that), cast(Any, beam.Create)
    with make() as pipeline:
        found = pipeline | create([example]) | RunInference(PictureHandler(replace(settings, shared=shared)))
        check(found, cast(Any, equal_to)([expected]))


def test_batches_are_weighed_by_their_length_and_hints_passed_on(settings: StageSettings) -> None:
    hints: Mapping[str, str] = {"min_ram": "12GB", "accelerator": "type:nvidia-l4;count:1;install-nvidia-driver"}
    handler = PictureHandler(replace(settings, hints=hints, shared=True))
    assert handler.get_num_bytes([b"123", b"4"]) == 4
    assert handler.get_resource_hints() == hints
    assert handler.share_model_across_processes()
    assert not PictureHandler(settings).share_model_across_processes()
