"""The two kinds of array that pictures are made of."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def f32(values: ArrayLike | Image.Image) -> Floats:
    """``values`` as float32; an array that is float32 already is not copied."""
    return np.asarray(values, np.float32)


def shares(values: ArrayLike | Image.Image) -> Floats:
    """Values of 0 to 255 as 0 to 1, float32."""
    return f32(f32(values) / np.float32(255))
