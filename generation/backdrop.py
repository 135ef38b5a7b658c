"""What a photo's backdrop says of a mask: white ones show what it lost, others whether the product is see-through."""

import numpy as np

from generation.arrays import Floats, Pixels, shares
from generation.matte import backdrop_surface, difference_to, soft3
from generation.shapes import shrunk

_WHITE, _WHITE_SHARE = 242, 0.9
_SHOWS = 0.15
_SIDE = 256
_CLEAR, _SOLID = 0.03, 0.9
_SAME = 0.02
_FEW = 50


def is_on_white(rgb: Pixels) -> bool:
    """Whether nine tenths of a photo's outermost pixels are white."""
    rim = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    return float((rim.min(axis=-1) >= _WHITE).mean()) >= _WHITE_SHARE


def supported(rgb: Pixels, mask: Floats) -> Floats:
    """A mask f32[h, w] and, where the photo is on white, what differs from that by more than a shadow could."""
    if not is_on_white(rgb):
        return mask
    photo = shares(rgb)
    rim = np.concatenate([photo[0], photo[-1], photo[:, 0], photo[:, -1]])
    white = np.broadcast_to(np.median(rim, axis=0), photo.shape)
    # Averaging grew it by a pixel; where exactly the edge is, the colour line decides later.
    shows = shrunk(soft3(difference_to(photo, white, white)) > _SHOWS, 1)
    return np.maximum(mask, shows.astype(np.float32))


def seen_through(rgb: Pixels, alpha: Floats) -> float:
    """Share of the product f32[h, w] in which the photo's backdrop goes on as if nothing were there.

    0 on white, where a white product would be as like it, and where little backdrop is to be seen.
    """
    step = -(-max(alpha.shape) // _SIDE)
    photo, solid, clear = shares(rgb[::step, ::step]), alpha[::step, ::step] > _SOLID, alpha[::step, ::step] < _CLEAR
    if is_on_white(rgb) or min(int(solid.sum()), int(clear.sum())) < _FEW:
        return 0.0
    gap = np.abs(photo - backdrop_surface(photo, clear)).max(axis=-1)
    return float((gap < _SAME)[solid].mean())
