from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from contracts import Placement
from generation import Placed, ProceduralBackend, RenderRequest, composite, judge_picture, place
from generation.arrays import Floats, Pixels, f32
from generation.quality_view import close_up
from tests.generation.studio import PROMPTS, cutout

SLOT = Placement("square", 400, 400)


@pytest.fixture(scope="module")
def placed() -> Placed:
    return place(cutout(300, 340), SLOT)


@pytest.fixture(scope="module")
def background(placed: Placed) -> Pixels:
    return ProceduralBackend().render([RenderRequest(placed, PROMPTS[0], 1)])[0]


def painted_on(background: Pixels, shape: Floats, colour: tuple[int, int, int]) -> Pixels:
    share = shape[..., None]
    return (background * (1 - share) + f32(colour) * share).astype(np.uint8)


def wider(placed: Placed) -> Floats:
    return f32(ndimage.gaussian_filter(f32(ndimage.binary_dilation(placed.alpha > 0.5, iterations=14)), 0.7))


def taller(placed: Placed) -> Floats:
    return f32(np.maximum(placed.alpha, np.roll(placed.alpha, -40, 0)))


def test_nothing_grows_in_a_good_picture(background: Pixels, placed: Placed) -> None:
    verdict = judge_picture(composite(background, placed), placed)
    assert verdict.passed, verdict
    assert verdict.numbers["growth"] == 0.0


@pytest.mark.parametrize("shape", [wider, taller])
def test_product_painted_beyond_its_outline_is_refused_with_its_area(
    background: Pixels, placed: Placed, shape: Callable[[Placed], Floats]
) -> None:
    extended = shape(placed)
    verdict = judge_picture(composite(painted_on(background, extended, (150, 60, 40)), placed), placed)
    assert "growth" in verdict.reasons
    solid = placed.alpha > 0.5
    added = float(((extended > 0.5) & ~solid).sum() / solid.sum())
    assert verdict.numbers["growth"] == pytest.approx(added, rel=0.35)


def test_a_part_of_another_colour_is_not_growth(background: Pixels, placed: Placed) -> None:
    verdict = judge_picture(composite(painted_on(background, taller(placed), (40, 60, 170)), placed), placed)
    assert verdict.numbers["growth"] == 0.0


def test_surroundings_that_resemble_the_product_but_fade_are_not_growth(background: Pixels, placed: Placed) -> None:
    glow = f32(ndimage.gaussian_filter(f32(wider(placed)), 40))
    verdict = judge_picture(composite(painted_on(background, glow / glow.max(), (150, 60, 40)), placed), placed)
    assert verdict.numbers["growth"] == 0.0


def test_the_close_up_has_one_size_for_all_slots(placed: Placed) -> None:
    large = place(cutout(600, 680), Placement("large", 1200, 1200))
    sizes = [close_up(np.zeros_like(each.rgb), each) for each in (placed, large)]
    assert [view is not None and round(view.size) for view in sizes] == [160, 160]


def test_a_product_without_opaque_pixels_is_refused(placed: Placed) -> None:
    nothing = Placed(np.zeros_like(placed.rgb), np.zeros_like(placed.alpha))
    assert judge_picture(np.zeros_like(placed.rgb), nothing).reasons == ("size",)
