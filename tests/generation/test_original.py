import numpy as np

from contracts import Placement
from generation import Photo, original_picture
from generation.arrays import f32
from tests.generation.studio import photo_pixels, truth


def test_the_photo_is_whole_and_its_backdrop_goes_on() -> None:
    photo = Photo(photo_pixels(300, 300), None, "0" * 64)
    wide = original_picture(photo, Placement("banner", 900, 300))
    assert (wide[:, 300:600] == photo.rgb).all()
    # No seam: the columns beside the photo's edge are like the edge.
    assert np.abs(wide[:, 299].astype(int) - wide[:, 300].astype(int)).max() <= 3
    assert np.abs(wide[:, 600].astype(int) - wide[:, 599].astype(int)).max() <= 3
    tall = original_picture(photo, Placement("story", 300, 700))
    assert (tall[200:500] == photo.rgb).all()


def test_a_busy_border_is_followed_by_its_median_colour() -> None:
    rng = np.random.default_rng(0)
    photo = Photo(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8), None, "0" * 64)
    wide = original_picture(photo, Placement("banner", 400, 200))
    assert len(np.unique(wide[:, :100].reshape(-1, 3), axis=0)) == 1


def test_transparency_is_shown_on_white() -> None:
    photo = Photo(photo_pixels(), (truth() * 255).astype(np.uint8), "0" * 64)
    picture = f32(original_picture(photo, Placement("square", 240, 240)))
    assert (picture[:20] == 255).all()
    assert picture[100, 120].max() < 200
