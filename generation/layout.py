"""Where the product stands in a slot and how large: whole, on a floor line, never blown up."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from contracts import Placement
from generation.arrays import Floats, Pixels, f32
from generation.cutout import CutOut

LAYOUT_RECIPE = "layout/1"
MAX_ENLARGEMENT = 1.8
_HAIR = 0.004
_WIDE, _TALL = 1.9, 0.62


@dataclass(frozen=True, slots=True)
class Frame:
    """Shares of a slot: the product's largest ``height`` and ``width``, its ``floor`` line, its ``centre``."""

    height: float
    width: float
    floor: float
    centre: float


@dataclass(frozen=True, slots=True)
class Placed:
    """A product in its slot: ``rgb`` u8[H, W, 3] (black outside), ``alpha`` f32[H, W], 0 to 1."""

    rgb: Pixels
    alpha: Floats


def frame_for(placement: Placement) -> Frame:
    """The frame of a slot by its shape: wide ones leave room for words on the right, tall ones above."""
    aspect = placement.width / placement.height
    if aspect >= _WIDE:
        return Frame(height=0.74, width=0.40, floor=0.89, centre=0.31)
    if aspect <= _TALL:
        return Frame(height=0.52, width=0.80, floor=0.78, centre=0.5)
    return Frame(height=0.64, width=0.74, floor=0.85, centre=0.5)


def place(cutout: CutOut, placement: Placement) -> Placed:
    """Scale a cut-out into a slot and stand it on the floor line; colours are weighted by alpha while scaling."""
    frame = frame_for(placement)
    height, width = cutout.alpha.shape
    scale = min(
        frame.height * placement.height / height, frame.width * placement.width / width, MAX_ENLARGEMENT
    )  # fmt: skip
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    rgb, alpha = _scaled(cutout, size)
    left = round(frame.centre * placement.width - size[0] / 2)
    # A product that is small in its slot (flat, or not to be enlarged) stands a little higher, to look placed.
    spare = max(0.0, frame.height * placement.height - size[1]) / placement.height
    top = round((frame.floor - 0.18 * spare) * placement.height) - size[1]
    left, top = max(0, min(left, placement.width - size[0])), max(0, min(top, placement.height - size[1]))
    slot_rgb = np.zeros((placement.height, placement.width, 3), np.uint8)
    slot_alpha = np.zeros((placement.height, placement.width), np.float32)
    box = (slice(top, top + size[1]), slice(left, left + size[0]))
    slot_rgb[box], slot_alpha[box] = rgb, alpha
    return Placed(slot_rgb, slot_alpha)


def _scaled(cutout: CutOut, size: tuple[int, int]) -> tuple[Pixels, Floats]:
    weight = Image.fromarray(cutout.alpha)
    alpha = f32(weight.resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    planes = []
    for channel in range(3):
        weighted = Image.fromarray(cutout.rgb[..., channel].astype(np.float32) * cutout.alpha)
        planes.append(f32(weighted.resize(size, Image.Resampling.BICUBIC)))
    colour = np.stack(planes, axis=-1) / np.maximum(alpha, 1e-3)[..., None]
    # A hair of rounding must not make an opaque pixel translucent.
    alpha = np.where(alpha > 1 - _HAIR, 1.0, np.where(alpha < _HAIR, 0.0, alpha)).astype(np.float32)
    rgb = (colour.clip(0, 255) + 0.5).astype(np.uint8)
    rgb[alpha == 0] = 0
    return rgb, alpha
