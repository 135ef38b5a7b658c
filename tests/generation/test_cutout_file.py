import numpy as np
import pytest

from contracts import FormatError
from generation import CutOut, cutout_name, decode_cutout, encode_cutout
from generation.arrays import f32
from tests.generation.studio import cutout, encoded


def test_a_cutout_comes_back_to_half_a_level_and_its_core_exactly() -> None:
    made = cutout()
    again = decode_cutout(encode_cutout(made))
    assert np.array_equal(again.rgb, made.rgb)
    assert np.abs(again.alpha - made.alpha).max() <= 1 / 255
    assert np.array_equal(again.alpha == 1, made.alpha == 1)
    assert (again.sha256, again.backdrop) == (made.sha256, made.backdrop)
    assert encode_cutout(again) == encode_cutout(made)


def test_nearly_opaque_is_not_made_opaque() -> None:
    alpha = f32([[1.0, 0.9999, 0.0, 0.0001]])
    again = decode_cutout(encode_cutout(CutOut(np.zeros((1, 4, 3), np.uint8), alpha, "ab" * 32, (1, 2, 3))))
    assert (again.alpha == 1).tolist() == [[True, False, False, False]]
    assert again.alpha[0, 2:].tolist() == [0, 0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        encode_cutout(cutout())[:300],
        encoded(np.zeros((8, 8, 3), np.uint8)),
        encoded(np.zeros((8, 8, 4), np.uint8)),
        encoded(np.zeros((8, 8, 3), np.uint8), "JPEG"),
    ],
)
def test_what_is_no_cutout_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="remove it"):
        decode_cutout(data)


def test_names_tell_recipes_apart() -> None:
    assert cutout_name("ab" * 32, "u2netp/1") != cutout_name("ab" * 32, "u2netp/2")
