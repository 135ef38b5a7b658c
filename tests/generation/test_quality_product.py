import io

import numpy as np
import pytest
from PIL import Image

from contracts import Placement
from generation import Placed, ProceduralBackend, RenderRequest, composite, encode, judge_picture, place
from generation.arrays import Pixels
from generation.quality_product import changed, shift
from tests.generation.studio import PROMPTS, cutout

SLOT = Placement("square", 240, 240)


@pytest.fixture(scope="module")
def placed() -> Placed:
    return place(cutout(200, 240), SLOT)


@pytest.fixture(scope="module")
def background(placed: Placed) -> Pixels:
    return ProceduralBackend().render([RenderRequest(placed, PROMPTS[0], 1)])[0]


@pytest.fixture(scope="module")
def picture(background: Pixels, placed: Placed) -> Pixels:
    return composite(background, placed)


def moved(placed: Placed, down: int, right: int) -> Placed:
    return Placed(np.roll(placed.rgb, (down, right), (0, 1)), np.roll(placed.alpha, (down, right), (0, 1)))


def test_a_picture_with_its_product_is_unchanged(picture: Pixels, placed: Placed) -> None:
    assert changed(picture, placed) == 0.0
    assert shift(picture, placed) == 0.0


def test_a_jpeg_of_it_still_passes(picture: Pixels, placed: Placed) -> None:
    decoded = np.array(Image.open(io.BytesIO(encode(picture, "jpeg"))))
    assert (decoded != picture).any()
    assert judge_picture(decoded, placed).passed, judge_picture(decoded, placed)


@pytest.mark.parametrize(("down", "right"), [(0, 6), (-5, 0), (4, -4)])
def test_a_moved_product_is_refused_with_its_distance(
    background: Pixels, placed: Placed, down: int, right: int
) -> None:
    verdict = judge_picture(composite(background, moved(placed, down, right)), placed)
    assert "shift" in verdict.reasons
    size = float(np.sqrt((placed.alpha >= 1).sum()))
    # Offsets are whole pixels of a working size of 96.
    assert verdict.numbers["shift"] == pytest.approx(np.hypot(down, right) / size, abs=1.5 / 96)


def test_a_recoloured_product_is_refused_and_has_not_moved(picture: Pixels, placed: Placed) -> None:
    tinted = np.minimum(placed.rgb * np.array((0.8, 1.1, 1.2)), 255).astype(np.uint8)
    verdict = judge_picture(composite(picture, Placed(tinted, placed.alpha)), placed)
    assert {"changed", "recolour"} <= set(verdict.reasons)
    assert verdict.numbers["shift"] == 0.0
