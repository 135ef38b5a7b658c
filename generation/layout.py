"""Where the product stands in a slot and how large: whole, on a floor line, never blown up."""

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from contracts import InvalidInputError, Placement
from generation.arrays import Floats, Pixels, f32
from generation.cutout import CutOut

LAYOUT_RECIPE = "layout/2"
MAX_ENLARGEMENT = 1.8
ANCHORS = ("left", "centre", "right")
_HAIR = 0.004
_STRIP, _WIDE, _TALL, _PILLAR = 4.5, 1.9, 0.62, 0.4
_THIRD = 0.36
_BESIDE = 0.12
_RISE = 0.18


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


def frame_for(placement: Placement, anchor: str = "") -> Frame:
    """The frame of a slot, within its safe edges: by its shape, with the product at ``anchor`` if one is named.

    Without one the product of a wide slot stands on the left, so that words have room, else in the middle.

    Raises:
        InvalidInputError: if there is no such anchor.
    """
    if anchor not in {"", *ANCHORS}:
        message = f"anchor {anchor!r} is unknown: use one of {', '.join(ANCHORS)}"
        raise InvalidInputError(message)
    left, top, right, bottom = placement.safe
    across, down = 1 - left - right, 1 - top - bottom
    frame = _anchored(_by_shape(placement.width * across / (placement.height * down)), anchor)
    return Frame(frame.height * down, frame.width * across, top + frame.floor * down, left + frame.centre * across)


def _by_shape(aspect: float) -> Frame:
    if aspect >= _STRIP:
        return Frame(height=0.80, width=0.36, floor=0.92, centre=0.26)
    if aspect >= _WIDE:
        return Frame(height=0.74, width=0.40, floor=0.89, centre=0.31)
    if aspect <= _PILLAR:
        return Frame(height=0.55, width=0.88, floor=0.70, centre=0.5)
    if aspect <= _TALL:
        return Frame(height=0.52, width=0.80, floor=0.78, centre=0.5)
    return Frame(height=0.64, width=0.74, floor=0.85, centre=0.5)


def _anchored(frame: Frame, anchor: str) -> Frame:
    """The frame moved to a third of the slot, and narrower where it would reach beyond its own margin."""
    if not anchor:
        return frame
    if anchor == "centre":
        return replace(frame, centre=0.5)
    third = min(frame.centre, _THIRD)
    return replace(frame, width=min(frame.width, 2 * third - _BESIDE), centre=third if anchor == "left" else 1 - third)


def place(cutout: CutOut, placement: Placement, anchor: str = "") -> Placed:
    """Scale a cut-out into a slot and stand it on the floor line; colours are weighted by alpha while scaling."""
    frame = frame_for(placement, anchor)
    height, width = cutout.alpha.shape
    scale = min(
        frame.height * placement.height / height, frame.width * placement.width / width, MAX_ENLARGEMENT
    )  # fmt: skip
    (first, last), (upper, lower) = _safe_span(placement)
    size = (min(max(1, round(width * scale)), last - first), min(max(1, round(height * scale)), lower - upper))
    rgb, alpha = _scaled(cutout, size)
    left = round(frame.centre * placement.width - size[0] / 2)
    # A product that is small in its slot (flat, or not to be enlarged) stands a little higher, to look placed.
    spare = max(0.0, frame.height * placement.height - size[1]) / placement.height
    top = round((frame.floor - _RISE * spare) * placement.height) - size[1]
    left, top = max(first, min(left, last - size[0])), max(upper, min(top, lower - size[1]))
    slot_rgb = np.zeros((placement.height, placement.width, 3), np.uint8)
    slot_alpha = np.zeros((placement.height, placement.width), np.float32)
    box = (slice(top, top + size[1]), slice(left, left + size[0]))
    slot_rgb[box], slot_alpha[box] = rgb, alpha
    return Placed(slot_rgb, slot_alpha)


def _safe_span(placement: Placement) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last column, first and last row (exclusive) within the safe edges; at least one of each."""
    left, top, right, bottom = placement.safe
    spans = []
    for size, before, after in ((placement.width, left, right), (placement.height, top, bottom)):
        first = math.ceil(before * size)
        spans.append((first, max(first + 1, math.floor((1 - after) * size))))
    return spans[0], spans[1]


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
