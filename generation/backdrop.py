"""What a photo's backdrop says of a mask: white ones show what it lost, others whether the product is see-through."""

import numpy as np
from scipy import ndimage

from generation.arrays import Floats, Pixels, shares
from generation.matte import PLAIN_LIMIT, backdrop_surface, difference_to, soft3
from generation.shapes import grown, shrunk

_WHITE, _WHITE_SHARE = 242, 0.9
_SHOWS, _DIFFERS, _FAR = 0.15, 0.10, 0.22
_EVEN, _RIM = 0.5, 0.6
_SIDE = 256
_CLEAR, _SOLID = 0.03, 0.9
_SAME = 0.02
_FEW = 50


def is_on_white(rgb: Pixels) -> bool:
    """Whether nine tenths of a photo's outermost pixels are white."""
    rim = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    return float((rim.min(axis=-1) >= _WHITE).mean()) >= _WHITE_SHARE


def supported(rgb: Pixels, mask: Floats) -> Floats:
    """A mask f32[h, w] and what differs from a plain backdrop by more than a shadow could: a network loses such parts.

    On white all of it is added, on other plain backdrops what hangs together with the product.
    """
    photo, solid = shares(rgb), mask > _EVEN
    if is_on_white(rgb):
        rim = np.concatenate([photo[0], photo[-1], photo[:, 0], photo[:, -1]])
        white = np.broadcast_to(np.median(rim, axis=0), photo.shape)
        # Averaging grew it by a pixel; where exactly the edge is, the colour line decides later.
        shows = shrunk(soft3(difference_to(photo, white, white)) > _SHOWS, 1)
        return np.maximum(mask, shows.astype(np.float32))
    clear = mask < _CLEAR
    if not solid.any() or not clear.any():
        return mask
    plate = backdrop_surface(photo, clear)
    if float(np.median(np.abs(photo - plate)[clear])) > PLAIN_LIMIT:
        return mask
    difference = difference_to(photo, plate, plate)
    shows = shrunk(soft3(difference) > _DIFFERS, 1)
    shows &= ndimage.binary_propagation(solid, mask=shows | solid, structure=np.ones((3, 3)))
    # Sure of itself where it is thick; of thin parts, where the difference is large.
    core = shrunk(shows, 2)
    sure = core | (shows & (difference > _FAR) & ~grown(core, 3))
    return np.maximum(mask, np.where(sure, 1.0, _RIM * shows).astype(np.float32))


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
