import numpy as np
import pytest

from contracts import Placement
from generation import LIMITS, Placed, ProceduralBackend, RenderRequest, composite, judge_picture, place
from generation.arrays import Pixels
from generation.shapes import grown
from tests.generation.studio import PROMPTS, cutout

SLOT = Placement("square", 240, 240)


@pytest.fixture(scope="module")
def placed() -> Placed:
    return place(cutout(200, 240), SLOT)


@pytest.fixture(scope="module")
def picture(placed: Placed) -> Pixels:
    return composite(ProceduralBackend().render([RenderRequest(placed, PROMPTS[0], 1)])[0], placed)


def test_a_good_picture_passes(picture: Pixels, placed: Placed) -> None:
    verdict = judge_picture(picture, placed)
    assert verdict.passed, verdict
    assert set(verdict.numbers) == set(LIMITS)


@pytest.mark.parametrize(("level", "reason"), [(0, "exposure"), (255, "burnt"), (128, "texture")])
def test_empty_backgrounds_are_refused(placed: Placed, level: int, reason: str) -> None:
    flat = composite(np.full((240, 240, 3), level, np.uint8), placed)
    assert reason in judge_picture(flat, placed).reasons


def test_a_halo_is_refused(placed: Placed) -> None:
    haloed = composite(ProceduralBackend().render([RenderRequest(placed, PROMPTS[1], 1)])[0], placed)
    assert judge_picture(haloed, placed).passed
    ring = grown(placed.alpha > 0.5, 3) & (placed.alpha < 0.5)
    haloed[ring] = 250
    assert "halo" in judge_picture(haloed, placed).reasons


def test_a_product_lost_in_its_background_is_refused(placed: Placed) -> None:
    rng = np.random.default_rng(0)
    same = np.clip(np.array((150, 60, 40)) + rng.normal(0, 8, (240, 240, 1)), 0, 255).astype(np.uint8)
    product = np.where(placed.alpha[..., None] > 0, np.array((150, 60, 40)), 0).astype(np.uint8)
    plain = Placed(product, placed.alpha)
    assert "contrast" in judge_picture(composite(same, plain), plain).reasons


def test_a_tiny_product_is_refused(picture: Pixels) -> None:
    small = place(cutout(20, 24), Placement("square", 240, 240))
    assert "size" in judge_picture(composite(picture, small), small).reasons
