import numpy as np
import pytest
from PIL import Image, ImageFilter

from generation import MaskError, cut_out, decode_photo, refine
from generation.arrays import Floats, Pixels, f32
from generation.backdrop import is_on_white, seen_through, supported
from tests.generation.studio import encoded, photo_pixels, truth


class HalfBlind:
    """Sees the stool's seat only, as a network that loses what is pale or thin."""

    def mask(self, rgb: Pixels) -> Floats:
        mask = truth().copy()
        mask[int(0.5 * len(mask)) :] = 0
        return mask


def on_white(colour: tuple[int, int, int], shadow: float = 0.0) -> Pixels:
    """The stool on white paper, with noise and, to the lower right, a soft shadow."""
    true = truth()
    behind = np.asarray(Image.fromarray((true * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(5)), np.float32)
    ramp = np.linspace(0, 1, len(true), dtype=np.float32)[:, None]
    white = 255 * (1 - shadow * np.roll(behind, (4, 4), (0, 1)) / 255 * ramp)[..., None]
    noise = np.random.default_rng(1).normal(0, 1, (*true.shape, 1))
    mixed = true[..., None] * f32(colour) + (1 - true[..., None]) * white + noise
    return mixed.clip(0, 255).astype(np.uint8)


def overlap(alpha: Floats) -> float:
    true = truth()
    return float(np.minimum(alpha, true).sum() / np.maximum(alpha, true).sum())


@pytest.mark.parametrize("colour", [(150, 60, 40), (60, 120, 70), (240, 210, 90)])
@pytest.mark.parametrize("shadow", [0.0, 0.35])
def test_on_white_what_the_mask_lost_comes_back_and_shadows_do_not(colour: tuple[int, int, int], shadow: float) -> None:
    pixels = on_white(colour, shadow)
    mask = HalfBlind().mask(pixels)
    assert is_on_white(pixels)
    assert overlap(mask) < 0.85
    assert overlap(refine(pixels, supported(pixels, mask))) > 0.99


def test_on_a_plain_backdrop_what_hangs_together_with_the_product_comes_back() -> None:
    pixels, mask = photo_pixels(), HalfBlind().mask(photo_pixels())
    assert not is_on_white(pixels)
    assert overlap(refine(pixels, mask)) < 0.85
    assert overlap(refine(pixels, supported(pixels, mask))) > 0.97
    apart = pixels.copy()
    apart[10:30, 10:30] = (200, 30, 30)
    assert supported(apart, mask)[10:30, 10:30].max() == 0


def test_a_bright_side_that_the_mask_lost_is_not_taken_for_backdrop() -> None:
    pixels = np.full((240, 240, 3), 150, np.uint8)
    pixels[60:200, 60:110] = 245
    pixels[60:200, 110:200] = (200, 90, 30)
    whole = np.zeros((240, 240), np.bool_)
    whole[60:200, 60:200] = True
    lost = whole.astype(np.float32)
    lost[:, :110] = 0
    unsupported, found = refine(pixels, lost) > 0.5, refine(pixels, supported(pixels, lost)) > 0.5
    assert (unsupported & whole).sum() / (unsupported | whole).sum() < 0.8
    assert (found & whole).sum() / (found | whole).sum() > 0.98


def test_a_mask_on_a_motley_backdrop_is_left_as_it_is() -> None:
    pixels = photo_pixels().copy()
    motley = np.random.default_rng(2).integers(60, 200, (12, 12, 3)).astype(np.uint8).repeat(20, 0).repeat(20, 1)
    pixels[truth() < 0.5] = motley[truth() < 0.5]
    mask = HalfBlind().mask(pixels)
    assert supported(pixels, mask) is mask


def test_a_white_product_on_white_keeps_its_mask() -> None:
    pixels = on_white((247, 247, 246))
    assert overlap(refine(pixels, supported(pixels, truth()))) > 0.9
    assert seen_through(pixels, truth()) == 0.0


def test_how_much_is_seen_through_is_measured_against_the_backdrop_there() -> None:
    pixels, alpha = photo_pixels(), truth().copy()
    assert seen_through(pixels, alpha) < 0.02
    alpha[150:220, 20:220] = 1
    empty = (alpha > 0.9) & (truth() < 0.01)
    assert abs(seen_through(pixels, alpha) - empty.sum() / (alpha > 0.9).sum()) < 0.05


def test_a_blank_white_photo_is_refused() -> None:
    class Unsure:
        def mask(self, rgb: Pixels) -> Floats:
            return np.full(rgb.shape[:2], 0.4, np.float32)

    with pytest.raises(MaskError, match="is there one"):
        cut_out(decode_photo(encoded(np.full((200, 200, 3), 255, np.uint8))), Unsure())
