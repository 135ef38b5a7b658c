"""From a coarse mask to clean edges: alpha refined against the photo's own backdrop, its colour taken out."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from generation.arrays import Floats, Pixels, f32, shares
from generation.shapes import grown, shrunk

_SURE_INSIDE = 0.97
_SURE_OUTSIDE = 0.03
PLAIN_LIMIT = 0.035
_UNLIKELY = 0.4
_SAME = 0.05
_OTHER = 0.10
_EVEN = 0.5
_DARKEST_SHADE = 0.5
_REACH = 0.006
# Of the sum of three channels: where the fit to the backdrop looks in each round, so that lost parts do not lift it.
_SHADED, _BRIGHTER = -0.03, (0.3, 0.15, 0.09)
_SPECK = 0.0005
_SEEN = 0.05
_TINY = 1e-4
_LARGE = 40_000


def refine(rgb: Pixels, mask: Floats) -> Floats:
    """Alpha f32[h, w], 0 to 1, from a photo u8[h, w, 3] and a coarse mask f32[h, w].

    Pixels whose class the mask leaves open (and those close to its edge) are placed on the line between the
    colours of the product and of the backdrop near them, as in colour-line matting (Ruzon and Tomasi 2000).
    Where the backdrop is plain, what differs from it by more than a shadow could belongs to the product, so
    thin parts that a coarse mask loses come back.
    """
    box = _around(mask > _SURE_OUTSIDE, 0.05)
    alpha = np.zeros_like(mask)
    alpha[box] = _refined(rgb[box], mask[box], max(2, round(_REACH * max(mask.shape))))
    return alpha


def _refined(rgb: Pixels, mask: Floats, reach: int) -> Floats:
    photo = shares(rgb)
    inside = shrunk(mask > _SURE_INSIDE, max(1, reach // 3))
    outside = shrunk(mask < _SURE_OUTSIDE, 2 * reach)
    if not inside.any() or not outside.any():
        return mask
    plate = backdrop_surface(photo, outside)
    plain = float(np.median(np.abs(photo - plate)[outside])) < PLAIN_LIMIT
    if plain:
        # Gaps inside the product hold no sure backdrop: take what looks like it and the mask does not claim.
        outside |= shrunk((mask < _UNLIKELY) & (difference_to(photo, plate, plate) < _SAME), 1)
    behind = fill(photo, outside)
    nearby = grown(mask > _EVEN, 6 * reach)
    allowed = smooth_step(0.02, 0.35, mask)
    if plain:
        # Averaging grew these parts by a pixel and their own edge is soft: take two off, the colour line decides there.
        other = shrunk(soft3(difference_to(photo, behind, np.maximum(plate, behind))) > _OTHER, 2) & nearby
        inside |= other
        allowed = np.maximum(allowed, f32(grown(other, 3)))
    product = fill(photo, inside)
    line = product - behind
    length = (line * line).sum(-1)
    share = (((photo - behind) * line).sum(-1) / (length + _TINY)).clip(0, 1)
    trust = smooth_step(0.06, 0.14, np.sqrt(length))
    sharp = smooth_step(0.2, 0.8, mask)
    alpha = sharp + trust * (np.minimum(share, allowed) - sharp)
    alpha = np.maximum(alpha, smooth_step(0.7, 0.93, mask))
    alpha = np.where(inside, 1.0, np.where(outside & ~nearby, 0.0, alpha))
    return _without_specks(_solid_ends(alpha.astype(np.float32)))


def _without_specks(alpha: Floats) -> Floats:
    """Only parts of some size beside the largest: a crumb of the product that lies by itself looks like dirt."""
    labels, _ = ndimage.label(alpha > _SEEN, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.where((sizes < _SPECK * sizes.max())[labels], 0, alpha).astype(np.float32)


def decontaminate(rgb: Pixels, alpha: Floats) -> Pixels:
    """The photo with the backdrop's colour taken out of soft edges, and product colours carried outwards.

    Solves C = alpha F + (1 - alpha) B for F with B from clear backdrop nearby; the weaker alpha, the more F is
    taken from opaque neighbours instead, because the division then only amplifies noise.
    """
    box = _around(alpha > 0, 0.02)
    cleaned = rgb.copy()
    cleaned[box] = _cleaned(rgb[box], alpha[box])
    return cleaned


def _cleaned(rgb: Pixels, alpha: Floats) -> Pixels:
    photo = shares(rgb)
    opaque, clear = alpha >= 1.0, alpha <= 0.0
    if not opaque.any() or not clear.any():
        return rgb
    # The outermost opaque pixels are lighter or darker by the lens's and JPEG's blur: carry from behind them.
    core = shrunk(opaque, 1)
    behind, product = fill(photo, clear), fill(photo, core if core.any() else opaque)
    a = alpha[..., None]
    solved = ((photo - (1 - a) * behind) / np.maximum(a, 0.05)).clip(0, 1)
    weight = smooth_step(0.5, 1.0, alpha)[..., None]
    clean = product + weight * (solved - product)
    kept = np.where(opaque[..., None], photo, clean)
    return (kept * 255 + 0.5).clip(0, 255).astype(np.uint8)


def fill(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Carry ``values`` f32[h, w, c] from ``known`` pixels smoothly over all others (push-pull pyramid)."""
    weight = known.astype(np.float32)[..., None]
    sheets = [(values * weight, weight)]
    while max(sheets[-1][0].shape[:2]) > 1:
        sheets.append((_halved(sheets[-1][0]), _halved(sheets[-1][1])))
    total, covered = sheets[-1]
    filled = f32(total / np.maximum(covered, _TINY))
    for total, covered in reversed(sheets[:-1]):
        wide = _doubled(filled, total.shape[:2])
        share = np.minimum(covered * 1.0, 1.0)
        filled = f32(wide * (1 - share) + total / np.maximum(covered, _TINY) * share)
    return filled


def _halved(sheet: Floats) -> Floats:
    padded = np.pad(sheet, ((0, sheet.shape[0] % 2), (0, sheet.shape[1] % 2), (0, 0)))
    height, width, channels = padded.shape
    result: Floats = padded.reshape(height // 2, 2, width // 2, 2, channels).mean(axis=(1, 3), dtype=np.float32)
    return result


def _doubled(sheet: Floats, size: tuple[int, ...]) -> Floats:
    height, width = size[0], size[1]
    even = (sheet.shape[1] * 2, sheet.shape[0] * 2)
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(sheet[..., i])).resize(even, Image.Resampling.BILINEAR))
        for i in range(sheet.shape[2])
    ]
    return np.stack(planes, axis=-1)[:height, :width]


def difference_to(photo: Floats, behind: Floats, brightest: Floats) -> Floats:
    """How far a pixel is from its backdrop in a way no shadow explains: hue, brighter than all, or very dark."""
    norm = (behind * behind).sum(-1) + _TINY
    factor = (photo * behind).sum(-1) / norm
    hue = np.sqrt(((photo - factor[..., None] * behind) ** 2).sum(-1))
    size = np.sqrt(norm)
    above = (photo - brightest).min(-1)
    result: Floats = hue + np.maximum(above * 1.5, 0) + np.maximum(_DARKEST_SHADE - factor, 0) * size
    return result


def backdrop_surface(photo: Floats, outside: NDArray[np.bool_]) -> Floats:
    """The unshaded backdrop: a quadratic surface a channel, fitted to clear pixels neither shaded nor much brighter."""
    height, width = outside.shape
    y, x = (np.arange(n, dtype=np.float32) / n - 0.5 for n in (height, width))
    terms = [np.ones((height, width), np.float32)]
    terms += [np.broadcast_to(t, (height, width)) for t in (y[:, None], x[None, :], y[:, None] ** 2, x[None, :] ** 2)]
    terms.append(y[:, None] * x[None, :])
    basis = np.stack(terms, axis=-1)
    kept = outside.copy()
    plate = photo
    for brighter in _BRIGHTER:
        rows = np.flatnonzero(kept)[:: 37 if kept.size > _LARGE else 1]
        solved = np.linalg.lstsq(basis.reshape(-1, len(terms))[rows], photo.reshape(-1, 3)[rows], rcond=None)[0]
        plate = basis @ solved.astype(np.float32)
        above = photo.sum(-1) - plate.sum(-1)
        kept = outside & (above > _SHADED) & (above < brighter)
    return plate


def _around(shape: NDArray[np.bool_], margin: float) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    if not len(rows):
        return slice(None), slice(None)
    more = round(margin * max(shape.shape))
    return (
        slice(max(0, int(rows[0]) - more), int(rows[-1]) + more + 1),
        slice(max(0, int(columns[0]) - more), int(columns[-1]) + more + 1),
    )


def soft3(field: Floats) -> Floats:
    """Mean over 3 × 3: the chroma noise of JPEG is not the product."""
    padded = np.pad(field, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return f32((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9)


def _solid_ends(alpha: Floats) -> Floats:
    """Stretch so that nearly opaque is opaque and nearly clear is clear."""
    return ((alpha - 0.04) / 0.92).clip(0, 1).astype(np.float32)


def smooth_step(low: float, high: float, value: Floats) -> Floats:
    """0 below ``low``, 1 above ``high``, a cubic between."""
    t = ((value - low) / (high - low)).clip(0, 1)
    result: Floats = t * t * (3 - 2 * t)
    return result
