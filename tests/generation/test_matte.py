import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from generation import decontaminate, refine
from generation.arrays import f32
from generation.matte import fill
from tests.generation.studio import BackdropSegmenter, photo_pixels, truth


def test_a_coarse_mask_is_refined_to_the_true_outline() -> None:
    photo, true = photo_pixels(), truth()
    coarse = BackdropSegmenter().mask(photo)
    refined = refine(photo, coarse)
    assert np.abs(refined - true).mean() < 0.004
    assert np.abs(refined - true).mean() < np.abs(coarse - true).mean()
    assert refined.dtype == np.float32
    assert refined.min() >= 0
    assert refined.max() <= 1


def test_thin_parts_that_the_mask_lost_come_back() -> None:
    photo, true = photo_pixels(), truth()
    coarse = BackdropSegmenter().mask(photo)
    coarse[190:, 140:] = 0
    refined = refine(photo, coarse)
    assert refined[191:, 140:][true[191:, 140:] > 0.99].mean() > 0.9


def test_crumbs_beside_the_product_are_left_out_and_parts_are_not() -> None:
    photo, mask = photo_pixels().copy(), f32(truth() > 0.5)
    for box in ((slice(10, 12), slice(10, 12)), (slice(10, 30), slice(200, 220))):
        photo[box], mask[box] = (150, 20, 20), 1
    refined = refine(photo, mask)
    assert refined[5:17, 5:17].max() == 0
    assert refined[15:25, 205:215].min() == 1


def test_a_shadow_is_not_the_product() -> None:
    photo = photo_pixels().astype(np.float32)
    photo[150:195, 175:230] *= 0.75
    pixels = photo.astype(np.uint8)
    mask = f32(truth() > 0.5)
    assert refine(pixels, mask)[150:195, 180:230].max() < 0.05


def test_soft_edges_lose_the_backdrops_colour() -> None:
    photo, true = photo_pixels(colour=(150, 20, 20)), truth()
    soft = (true > 0.25) & (true < 0.9)
    clean = decontaminate(photo, true).astype(np.float32)
    assert np.abs(photo[soft].astype(np.float32) - f32((150, 20, 20))).mean() > 30
    assert np.abs(clean[soft] - f32((150, 20, 20))).mean() < 8


def test_opaque_pixels_are_not_touched() -> None:
    photo, true = photo_pixels(), truth()
    assert (decontaminate(photo, true)[true >= 1] == photo[true >= 1]).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_fill_keeps_what_is_known_and_stays_in_range(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    values, known = f32(rng.random((height, width, 3))), rng.random((height, width)) < 0.3
    known[rng.integers(height), rng.integers(width)] = True
    filled = fill(values, known)
    assert np.allclose(filled[known], values[known], atol=1e-3)
    assert filled.min() >= values[known].min() - 1e-3
    assert filled.max() <= values[known].max() + 1e-3


def test_a_mask_without_edge_is_left_alone() -> None:
    photo = photo_pixels(60, 60)
    assert (refine(photo, np.zeros((60, 60), np.float32)) == 0).all()
    assert (refine(photo, np.ones((60, 60), np.float32)) == 1).all()


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(0, 177, 64), (0, 60, 200), (255, 255, 255), (20, 20, 20), (250, 120, 20)]),
    st.tuples(st.integers(30, 220), st.integers(30, 220), st.integers(30, 220)),
)
def test_edges_lose_the_colour_of_any_backdrop(backdrop: tuple[int, int, int], colour: tuple[int, int, int]) -> None:
    true = truth()
    mixed = true[..., None] * f32(colour) + (1 - true[..., None]) * f32(backdrop)
    photo = (mixed + 0.5).astype(np.uint8)
    clean = decontaminate(photo, true).astype(np.float32)
    soft = (true > 0.1) & (true < 0.9)
    before = float(np.abs(photo[soft] - f32(colour)).mean())
    after = float(np.abs(clean[soft] - f32(colour)).mean())
    assert after <= max(0.1 * before, 1.0)
