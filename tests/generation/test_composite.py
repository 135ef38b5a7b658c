import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation import Placed, ProductChangedError, composite, require_unchanged
from generation.arrays import f32


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30))
def test_opaque_pixels_are_the_products_and_clear_ones_the_backgrounds(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    alpha = f32(np.clip(rng.normal(0.5, 1.0, (height, width)), 0, 1))
    placed = Placed(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), alpha)
    background = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = background.copy()
    out = composite(background, placed)
    assert (out[alpha == 1] == placed.rgb[alpha == 1]).all()
    assert (out[alpha == 0] == background[alpha == 0]).all()
    exact = placed.rgb * alpha[..., None].astype(np.float64) + background * (1 - alpha[..., None].astype(np.float64))
    assert np.abs(out - exact).max() <= 0.51
    assert (background == before).all()


def test_a_changed_product_pixel_is_noticed() -> None:
    placed = Placed(np.full((4, 4, 3), 50, np.uint8), np.ones((4, 4), np.float32))
    picture = placed.rgb.copy()
    require_unchanged(picture, placed)
    picture[2, 3, 1] += 1
    with pytest.raises(ProductChangedError, match="1 of 16"):
        require_unchanged(picture, placed)


def test_a_background_of_another_size_is_refused() -> None:
    placed = Placed(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.float32))
    with pytest.raises(ProductChangedError, match="slot"):
        composite(np.zeros((4, 5, 3), np.uint8), placed)
