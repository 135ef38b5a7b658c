"""The arm ``original``: the untouched photo, fitted into the slot and continued in its own background."""

import numpy as np
from PIL import Image

from contracts import Placement
from generation.arrays import Floats, Pixels
from generation.cutout import border_colour
from generation.photo import Photo

ORIGINAL_RECIPE = "original/1"
_STREAK = 5.0


def original_picture(photo: Photo, placement: Placement) -> Pixels:
    """The photo scaled to fit a slot u8[h, w, 3], centred; what is left over continues its border.

    A plain border is carried outwards row by row (or column by column), which keeps its shading without a seam;
    a busy one is followed by the border's median colour.
    """
    rgb = _on_white(photo)
    height, width = rgb.shape[:2]
    scale = min(placement.width / width, placement.height / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))
    left, top = (placement.width - size[0]) // 2, (placement.height - size[1]) // 2
    right, bottom = placement.width - size[0] - left, placement.height - size[1] - top
    if right or bottom:
        return _continued(scaled, (top, bottom), (left, right), border_colour(rgb))
    return np.array(scaled)


def _continued(scaled: Pixels, rows: tuple[int, int], columns: tuple[int, int], plain: tuple[int, int, int]) -> Pixels:
    height, width = scaled.shape[:2]
    out = np.empty((height + sum(rows), width + sum(columns), 3), np.uint8)
    out[:] = plain
    top, left = rows[0], columns[0]
    out[top : top + height, left : left + width] = scaled
    if left or columns[1]:
        out[:, :left] = _line(scaled[:, 0], plain)[:, None]
        out[:, left + width :] = _line(scaled[:, -1], plain)[:, None]
    if top or rows[1]:
        out[:top] = _line(scaled[0], plain)[None]
        out[top + height :] = _line(scaled[-1], plain)[None]
    return out


def _line(line: Pixels, plain: tuple[int, int, int]) -> Pixels:
    """A border line u8[n, 3], smoothed; the plain colour if it is busy."""
    reach = max(3, len(line) // 24) | 1
    padded = np.pad(line.astype(np.float32), ((reach // 2, reach // 2), (0, 0)), mode="edge")
    total = np.cumsum(np.pad(padded, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    smooth: Floats = ((total[reach:] - total[:-reach]) / reach).astype(np.float32)
    if float(np.abs(smooth - line).mean()) > _STREAK:
        return np.broadcast_to(np.array(plain, np.uint8), line.shape)
    return (smooth + 0.5).clip(0, 255).astype(np.uint8)


def _on_white(photo: Photo) -> Pixels:
    if photo.alpha is None:
        return photo.rgb
    alpha = photo.alpha[..., None].astype(np.float32) / 255
    return (photo.rgb * alpha + 255 * (1 - alpha) + 0.5).astype(np.uint8)
