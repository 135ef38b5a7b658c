"""Binary shapes grown and shrunk by squares: two one-way blurs and a threshold, far faster than rank filters."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Shape = NDArray[np.bool_]

# One set pixel among 2 r + 1 must not round to nothing: 255 / 255.
_LARGEST = 127
_ON = [0] + [255] * 255


def grown(shape: Shape, radius: int) -> Shape:
    """Dilate a shape bool[h, w] by a square of ``radius`` pixels to each side (at most 127)."""
    image = Image.fromarray(shape.astype(np.uint8) * 255)
    reach = min(radius, _LARGEST)
    across = image.filter(ImageFilter.BoxBlur((reach, 0))).point(_ON)
    return np.asarray(across.filter(ImageFilter.BoxBlur((0, reach)))) > 0


def shrunk(shape: Shape, radius: int) -> Shape:
    """Erode a shape bool[h, w] by a square of ``radius`` pixels to each side; beyond the picture counts as inside."""
    return ~grown(~shape, radius)
