import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from beam_pipelines.generate.plan import Task
from beam_pipelines.generate.render import DEAD, RenderProduct, RenderSettings
from contracts import CreativeSpec, StoreError
from generation import LIMITS, Renderer, Segmenter, open_backend, open_gate
from generation.recut import RECUT_LIMITS
from stores import FileObjectStore
from tests.generation.studio import BackdropSegmenter, encoded, photo_pixels


class BrokenModel:
    """A segmenter that fails as model libraries do: with an error that is none of ours."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def mask(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise self.error


class Stage(RenderProduct):
    """The stage with a segmenter of the test's."""

    def __init__(self, folder: Path, error: Exception) -> None:
        super().__init__(RenderSettings(str(folder / "objects"), "", "procedural", {}, 1, 64))
        self._objects = FileObjectStore(folder / "objects")
        self._segmenter: Segmenter = BrokenModel(error)
        self._renderer = Renderer(open_backend("procedural", {}), 1)


def task(folder: Path) -> bytes:
    (folder / "chair.png").write_bytes(encoded(photo_pixels(200, 200, (150, 30, 60))))
    spec = CreativeSpec("chair", "seating", "oak", "square", 120, 120, "0" * 64, "on oak", "", (), "procedural", "r")
    return Task("chair", "chair.png", str(folder), "", (spec,)).to_bytes()


def test_a_product_that_breaks_a_library_is_a_dead_letter(tmp_path: Path) -> None:
    (found,) = Stage(tmp_path, ZeroDivisionError("in the model")).process(task(tmp_path))
    assert found.tag == DEAD
    letter = json.loads(found.value)
    assert (letter["item_id"], letter["reason"]) == ("chair", "render_failed")
    assert letter["detail"] == "ZeroDivisionError: in the model"


def test_a_store_that_fails_is_not_the_products_fault(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="disk"):
        list(Stage(tmp_path, StoreError("disk full")).process(task(tmp_path)))


def test_every_number_of_the_gate_is_in_the_manifest(tmp_path: Path) -> None:
    stage = Stage(tmp_path, StoreError("not asked"))
    stage._segmenter = BackdropSegmenter()
    stage._renderer = Renderer(open_backend("procedural", {}), 1, judge=open_gate({"recut": "yes"}, stage._segmenter))
    (found,) = stage.process(task(tmp_path))
    assert set(json.loads(json.loads(found)["numbers"])) == {*LIMITS, *RECUT_LIMITS}
