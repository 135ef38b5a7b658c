from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from contracts import SetupError
from generation import MaskError, Photo, RembgSegmenter, cut_out, decode_photo
from generation.arrays import Floats, Pixels, f32
from generation.cutout import judge
from tests.generation.studio import BackdropSegmenter, encoded, photo_pixels, truth

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / ".backdrop" / "weights" / "u2netp.onnx"


class FixedSegmenter:
    def __init__(self, mask: Floats) -> None:
        self._mask = mask

    def mask(self, rgb: Pixels) -> Floats:
        return self._mask


def photo(width: int = 240, height: int = 240) -> Photo:
    return decode_photo(encoded(photo_pixels(width, height)))


def test_the_product_is_cut_out_and_cropped() -> None:
    cut = cut_out(photo(), BackdropSegmenter())
    true = truth() > 0.05
    rows, columns = np.flatnonzero(true.any(axis=1)), np.flatnonzero(true.any(axis=0))
    assert abs(cut.alpha.shape[0] - (rows[-1] - rows[0] + 1)) <= 3
    assert abs(cut.alpha.shape[1] - (columns[-1] - columns[0] + 1)) <= 3
    assert cut.rgb.shape == (*cut.alpha.shape, 3)
    assert all(abs(value - 208) < 12 for value in cut.backdrop)


def test_a_photos_own_alpha_is_used_as_it_is() -> None:
    segmenter = BackdropSegmenter()
    alpha = (truth() * 255).astype(np.uint8)
    cut = cut_out(Photo(photo_pixels(), alpha, "0" * 64), segmenter)
    assert segmenter.calls == 0
    rows, columns = np.flatnonzero((alpha > 13).any(axis=1)), np.flatnonzero((alpha > 13).any(axis=0))
    kept = alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert np.allclose(cut.alpha, kept / 255, atol=1e-6)


def test_large_photos_are_worked_on_smaller() -> None:
    cut = cut_out(photo(width=2000, height=1500), BackdropSegmenter())
    assert max(cut.alpha.shape) <= 1280


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.zeros((100, 100)), "mask_empty"),
        (np.ones((100, 100)), "mask_full"),
        (np.pad(np.ones((80, 60)), ((20, 0), (20, 20))), None),
        (np.pad(np.ones((100, 60)), ((0, 0), (0, 40))), "touches_border"),
        (np.pad(np.full((50, 50), 0.55), 25), "mask_unsure"),
    ],
)
def test_masks_that_are_no_product_are_refused(mask: Floats, reason: str | None) -> None:
    if reason is None:
        judge(f32(mask))
        return
    with pytest.raises(MaskError) as caught:
        judge(f32(mask))
    assert caught.value.reason == reason


def test_a_photo_without_product_is_refused() -> None:
    with pytest.raises(MaskError, match="is there one"):
        cut_out(photo(), FixedSegmenter(np.zeros((240, 240), np.float32)))


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="make setup"):
        RembgSegmenter(tmp_path / "u2netp.onnx")
    (tmp_path / "u2netp.onnx").write_bytes(b"not a model")
    with pytest.raises(SetupError, match="md5"):
        RembgSegmenter(tmp_path / "u2netp.onnx")


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="segmentation weights are not set up (make setup)")
def test_the_real_model_cuts_a_real_photo() -> None:
    segmenter = RembgSegmenter(WEIGHTS)
    cut = cut_out(decode_photo((ROOT / "demo/catalogue/photos/chair-crossback.jpg").read_bytes()), segmenter)
    height, width = cut.alpha.shape
    assert 1.4 < height / width < 2.4
    opaque = cut.alpha >= 1
    assert 0.2 < opaque.mean() < 0.6
    # The backdrop shows between the bars of the back: cut out, too.
    assert (cut.alpha[int(height * 0.2) : int(height * 0.4), int(width * 0.4) : int(width * 0.9)] == 0).mean() > 0.2


def blobs(*boxes: tuple[int, int, int, int]) -> Floats:
    """A mask of 200 × 200 with boxes (top, bottom, left, right)."""
    mask = np.zeros((200, 200), np.float32)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (blobs((80, 140, 20, 80), (80, 140, 120, 180)), "several_objects"),
        (blobs((80, 140, 20, 80), (80, 140, 90, 150)), None),
        (blobs((60, 140, 20, 100), (20, 50, 160, 190)), None),
        (blobs((100, 200, 10, 190)), "touches_border"),
        (blobs((100, 200, 30, 170)), None),
    ],
)
def test_a_second_product_and_a_side_that_cuts_are_refused(mask: Floats, reason: str | None) -> None:
    if reason is None:
        judge(mask)
        return
    with pytest.raises(MaskError, match=r"the limit is \S+: ") as caught:
        judge(mask)
    assert caught.value.reason == reason


@pytest.mark.parametrize("part", ["left", "right", "nothing"])
def test_glass_is_refused_and_a_solid_product_is_not(part: str) -> None:
    pixels = np.full((300, 300, 3), 190, np.uint8)
    mask = np.zeros((300, 300), np.float32)
    mask[60:260, 90:210] = 1
    pixels[60:260, 90:210] = (60, 90, 140)
    inside = {"left": slice(94, 160), "right": slice(140, 206), "nothing": slice(0, 0)}[part]
    pixels[64:256, inside] = 190
    shown = decode_photo(encoded(pixels))
    if part == "nothing":
        cut_out(shown, FixedSegmenter(mask))
        return
    with pytest.raises(MaskError, match=r"shows through \d+% of the product, the limit is 35%") as caught:
        cut_out(shown, FixedSegmenter(mask))
    assert caught.value.reason == "see_through"


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="segmentation weights are not set up (make setup)")
@pytest.mark.parametrize("kind", ["plain", "noise", "text"])
def test_the_real_model_finds_no_product_where_there_is_none(kind: str) -> None:
    pixels = np.full((400, 400, 3), 235, np.uint8)
    if kind == "noise":
        pixels = np.random.default_rng(3).integers(0, 256, (400, 400, 3), np.uint8)
    if kind == "text":
        page = Image.fromarray(pixels)
        for row in range(20, 390, 14):
            ImageDraw.Draw(page).text((24, row), "Terms of sale apply to every order that is made. " * 2, fill=20)
        pixels = np.asarray(page)
    with pytest.raises(MaskError):
        cut_out(decode_photo(encoded(pixels)), RembgSegmenter(WEIGHTS))
