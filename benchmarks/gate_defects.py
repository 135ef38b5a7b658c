"""Defects made on purpose on good creatives, from a seed: what the gate should refuse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from generation import Placed
from generation.arrays import Floats, Pixels, f32

# A ring or a tint that changes its pixels by less than this (RGB distance, mean) would be no defect to anybody.
VISIBLE = 16.0
_TRIES = 40
_SOLID = 0.5

Mask = NDArray[np.bool_]
Maker = Callable[[Pixels, Placed, np.random.Generator], Pixels]


class NoRoomError(ValueError):
    """The defect cannot be made on this picture: no room for it, or it would not be seen."""


@dataclass(frozen=True, slots=True)
class _Patch:
    """What is painted under the product: ``rgb`` f32[h, w, 3], 0 to 255, ``alpha`` f32[h, w]."""

    rgb: Floats
    alpha: Floats


def haloed(picture: Pixels, placed: Placed, rng: np.random.Generator) -> Pixels:
    """A pale seam or glow round the product: a hard fringe of the old backdrop, or light that falls off."""
    scale = _scale(placed)
    away = f32(ndimage.distance_transform_edt(placed.alpha <= _SOLID))
    for _ in range(_TRIES):
        width = max(2.0, scale * rng.uniform(0.006, 0.02))
        colour = f32(np.full(3, rng.uniform(200, 255)) + rng.normal(0, 4, 3)).clip(0, 255)
        strength = rng.uniform(0.5, 1.0)
        if rng.random() < 0.5:
            ring = (width + 0.5 - away).clip(0, 1) * strength
        else:
            ring = np.exp(-away / width) * strength
        out = _under(picture, placed, _Patch(np.broadcast_to(colour, picture.shape), f32(ring)))
        seen = (away > 0) & (away <= width)
        if _distance(out, picture)[seen].mean() >= VISIBLE:
            return out
    raise NoRoomError


def shifted(picture: Pixels, placed: Placed, rng: np.random.Generator) -> Pixels:
    """The product is elsewhere than it was put, by 2 to 12 % of its size."""
    reach = _scale(placed) * rng.uniform(0.02, 0.12)
    for _ in range(_TRIES):
        angle = rng.uniform(0, 2 * np.pi)
        down, right = round(float(np.sin(angle) * reach)), round(float(np.cos(angle) * reach))
        moved = _moved(placed, down, right)
        if (down or right) and moved is not None:
            behind = _inpainted(picture, placed)
            return _over(behind, moved)
    raise NoRoomError


def flat(picture: Pixels, placed: Placed, rng: np.random.Generator) -> Pixels:
    """No scene: one colour, a soft slope or a vignette, with or without noise and the product's shadow."""
    height, width = placed.alpha.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    colour = f32(rng.uniform(70, 235, 3) * 0.3 + rng.uniform(70, 235) * 0.7)
    kind = rng.integers(3)
    if kind == 0:
        slope = np.zeros_like(x)
    elif kind == 1:
        slope = np.cos(angle := rng.uniform(0, 2 * np.pi)) * x + np.sin(angle) * y
    else:
        slope = -(x * x + y * y)
    ground = colour + f32(slope * rng.uniform(2, 18))[..., None]
    if rng.random() < 0.5:
        shade = ndimage.gaussian_filter(_moved_alpha(placed.alpha, round(_scale(placed) * 0.04)), _scale(placed) * 0.05)
        ground = ground * (1 - 0.35 * shade[..., None])
    noisy = ground + rng.normal(0, rng.uniform(0, 2.0), picture.shape)
    return _over((noisy + 0.5).clip(0, 255).astype(np.uint8), placed)


def recoloured(picture: Pixels, placed: Placed, rng: np.random.Generator) -> Pixels:
    """The product in another hue, tint or brightness, all of it or one side."""
    height, width = placed.alpha.shape
    colour = f32(placed.rgb)
    for _ in range(_TRIES):
        tint = f32(rng.uniform(0.7, 1.3, 3))
        changed = colour * tint if rng.random() < 0.5 else _turned(placed.rgb, rng.uniform(0.08, 0.5)) * tint.mean()
        share = np.ones((height, width), np.float32)
        if rng.random() < 0.5:
            columns = np.flatnonzero(placed.alpha.any(axis=0))
            middle, soft = columns.mean(), max(1.0, np.ptp(columns) * 0.1)
            share = np.broadcast_to(f32(1 / (1 + np.exp(-(np.arange(width) - middle) / soft))), (height, width))
        new = Placed((colour + (changed - colour) * share[..., None] + 0.5).clip(0, 255).astype(np.uint8), placed.alpha)
        out = _over(picture, new)
        if _distance(out, picture)[placed.alpha >= 1].mean() >= VISIBLE:
            return out
    raise NoRoomError


def grown(share: float, kind: str) -> Maker:
    """A maker whose product grows by ``share`` of its area; ``kind`` is one of ``GROWTHS``."""

    def make(picture: Pixels, placed: Placed, rng: np.random.Generator) -> Pixels:
        patch = GROWTHS[kind](placed, share, rng)
        out = _under(picture, placed, patch)
        return out

    return make


def _band(placed: Placed, share: float, rng: np.random.Generator) -> _Patch:
    """All round: a band of the product's own pixels mirrored in its outline, wider on a side drawn at random."""
    solid = placed.alpha > _SOLID
    away, nearest = ndimage.distance_transform_edt(~solid, return_indices=True)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[: solid.shape[0], : solid.shape[1]]
    down, right = ndimage.center_of_mass(solid)
    towards = np.arctan2(y - down, x - right) - angle
    reach = away / (1 + 0.8 * np.cos(towards))
    limit = _level(reach, ~solid, share * solid.sum())
    return _Patch(_mirrored(placed, nearest), f32((limit + 0.5 - reach).clip(0, 1)))


def _enlarged(placed: Placed, share: float, rng: np.random.Generator) -> _Patch:
    """A larger copy behind: scaled about its foot, its top or its middle."""
    rows, columns = _extent(placed.alpha)
    foot = (float(rng.choice([rows[0], rows[1], sum(rows) / 2])), sum(columns) / 2)
    solid = placed.alpha > _SOLID
    low, high = 1.0, 2.6
    for _ in range(12):
        middle = (low + high) / 2
        added = ((_scaled_plane(placed.alpha, middle, foot) > _SOLID) & ~solid).sum()
        low, high = (middle, high) if added < share * solid.sum() else (low, middle)
    alpha = _scaled_plane(placed.alpha, low, foot)
    weighted = [_scaled_plane(f32(placed.rgb[..., i]) * placed.alpha, low, foot) for i in range(3)]
    patch = _Patch(f32(np.stack(weighted, -1) / np.maximum(alpha, 1e-3)[..., None]).clip(0, 255), alpha)
    return _enough(patch, placed, share)


def _stretched(placed: Placed, share: float, rng: np.random.Generator) -> _Patch:
    """Drawn out to one side: each pixel beyond the outline mirrors the product along that direction."""
    solid = placed.alpha > _SOLID
    opaque = placed.alpha >= 1
    angle = rng.uniform(0, 2 * np.pi)
    step = np.array([np.sin(angle), np.cos(angle)])
    distance = np.full(solid.shape, np.inf, np.float32)
    longest = int(max(solid.shape))
    for t in range(1, longest):
        hit = _rolled(solid, np.round(step * t).astype(int)) & ~solid & np.isinf(distance)
        distance[hit] = t
        if (distance < np.inf).sum() > 1.5 * share * solid.sum() + 50:
            break
    limit = _level(distance, ~solid, share * solid.sum())
    alpha = np.where(solid, 1.0, (limit + 0.5 - distance).clip(0, 1)).astype(np.float32)
    y, x = np.mgrid[: solid.shape[0], : solid.shape[1]]
    reach = np.where(np.isfinite(distance), distance, 0)
    rgb = np.zeros(placed.rgb.shape, np.float32)
    done = np.zeros_like(solid)
    for factor in (2.0, 1.5, 1.2, 1.0):
        back_y = np.round(y - step[0] * (reach * factor + 2)).astype(int).clip(0, solid.shape[0] - 1)
        back_x = np.round(x - step[1] * (reach * factor + 2)).astype(int).clip(0, solid.shape[1] - 1)
        use = opaque[back_y, back_x] & ~done
        rgb[use] = placed.rgb[back_y, back_x][use]
        done |= use
    near = ndimage.distance_transform_edt(~opaque, return_distances=False, return_indices=True)
    rgb[~done] = placed.rgb[near[0], near[1]][~done]
    soft = ndimage.gaussian_filter(alpha, 0.6)
    return _enough(_Patch(rgb, f32(np.where(solid, 1.0, soft))), placed, share)


def _knob(placed: Placed, share: float, rng: np.random.Generator) -> _Patch:
    """A part too many: a rounded lobe at one place of the outline, of the product's material there."""
    solid = placed.alpha > _SOLID
    y, x = np.mgrid[: solid.shape[0], : solid.shape[1]]
    edge = np.argwhere(solid & ~ndimage.binary_erosion(solid))
    want = share * solid.sum()
    nearest = ndimage.distance_transform_edt(~solid, return_distances=False, return_indices=True)
    for _ in range(_TRIES):
        centre = edge[rng.integers(len(edge))]
        angle, ratio = rng.uniform(0, np.pi), rng.uniform(1.0, 2.2)
        along = (y - centre[0]) * np.sin(angle) + (x - centre[1]) * np.cos(angle)
        across = (y - centre[0]) * np.cos(angle) - (x - centre[1]) * np.sin(angle)
        reach = np.hypot(along / ratio, across)
        limit = _level(reach, ~solid, want)
        inside = reach < limit
        if not inside[0].any() and not inside[-1].any() and not inside[:, 0].any() and not inside[:, -1].any():
            return _Patch(_mirrored(placed, nearest), f32((limit + 0.5 - reach).clip(0, 1)))
    raise NoRoomError


GROWTHS: Mapping[str, Callable[[Placed, float, np.random.Generator], _Patch]] = MappingProxyType(
    {"band": _band, "enlarged": _enlarged, "stretched": _stretched, "knob": _knob}
)


def _enough(patch: _Patch, placed: Placed, share: float) -> _Patch:
    solid = placed.alpha > _SOLID
    added = ((patch.alpha > _SOLID) & ~solid).sum() / solid.sum()
    if not 0.85 * share <= added <= 1.2 * share:
        raise NoRoomError
    return patch


def _mirrored(placed: Placed, nearest: NDArray[Any]) -> Floats:
    """Product colour for every pixel outside: mirrored in the nearest outline point, or that point's own."""
    opaque = placed.alpha >= 1
    y, x = np.mgrid[: opaque.shape[0], : opaque.shape[1]]
    rgb = np.zeros(placed.rgb.shape, np.float32)
    done = np.zeros(opaque.shape, bool)
    for factor in (2.0, 1.5, 1.25):
        back_y = np.round(y + (nearest[0] - y) * factor).astype(int).clip(0, opaque.shape[0] - 1)
        back_x = np.round(x + (nearest[1] - x) * factor).astype(int).clip(0, opaque.shape[1] - 1)
        use = opaque[back_y, back_x] & ~done
        rgb[use] = placed.rgb[back_y, back_x][use]
        done |= use
    near = ndimage.distance_transform_edt(~opaque, return_distances=False, return_indices=True)
    rgb[~done] = placed.rgb[near[0], near[1]][~done]
    return rgb


def _level(field: NDArray[Any], where: Mask, count: float) -> float:
    values = np.sort(field[where & np.isfinite(field)])
    if len(values) <= count:
        raise NoRoomError
    return float(values[int(count)])


def _scale(placed: Placed) -> float:
    return float(np.sqrt((placed.alpha > _SOLID).sum()))


def _extent(alpha: Floats) -> tuple[tuple[int, int], tuple[int, int]]:
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    return (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1]))


def _scaled_plane(plane: Floats, factor: float, about: tuple[float, float]) -> Floats:
    offset = [about[0] - about[0] / factor, about[1] - about[1] / factor]
    return f32(ndimage.affine_transform(plane, [1 / factor, 1 / factor], offset=offset, order=1))


def _rolled(shape: Mask, by: NDArray[Any]) -> Mask:
    out = np.zeros_like(shape)
    down, right = int(by[0]), int(by[1])
    height, width = shape.shape
    if abs(down) >= height or abs(right) >= width:
        return out
    out[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = shape[
        max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
    ]
    return out


def _moved_alpha(alpha: Floats, down: int) -> Floats:
    out = np.zeros_like(alpha)
    out[down:] = alpha[: alpha.shape[0] - down]
    return out


def _moved(placed: Placed, down: int, right: int) -> Placed | None:
    """The product moved; none if it would be cut."""
    rows, columns = _extent(placed.alpha)
    height, width = placed.alpha.shape
    if rows[0] + down < 0 or rows[1] + down >= height or columns[0] + right < 0 or columns[1] + right >= width:
        return None
    return Placed(np.roll(placed.rgb, (down, right), (0, 1)), np.roll(placed.alpha, (down, right), (0, 1)))


def _inpainted(picture: Pixels, placed: Placed) -> Pixels:
    """The picture with the product taken out: what was just outside it carried inwards."""
    covered = ndimage.binary_dilation(placed.alpha > 0, iterations=2)
    near = ndimage.distance_transform_edt(covered, return_distances=False, return_indices=True)
    out: Pixels = picture[near[0], near[1]]
    return out


def _turned(rgb: Pixels, by: float) -> Floats:
    """Hue turned by a share of the circle."""
    hsv = np.array(Image.fromarray(rgb).convert("HSV"))
    hsv[..., 0] = (hsv[..., 0].astype(int) + round(by * 256)) % 256
    return f32(Image.fromarray(hsv, "HSV").convert("RGB"))


def _distance(one: Pixels, other: Pixels) -> Floats:
    return f32(np.sqrt(((f32(one) - f32(other)) ** 2).sum(-1)))


def _over(background: Pixels, placed: Placed) -> Pixels:
    share = placed.alpha[..., None]
    return (placed.rgb * share + background * (1 - share) + 0.5).astype(np.uint8)


def _under(picture: Pixels, placed: Placed, patch: _Patch) -> Pixels:
    """The picture with a patch between background and product."""
    share = patch.alpha[..., None]
    behind = f32(picture) * (1 - share) + patch.rgb * share
    return _over((behind + 0.5).clip(0, 255).astype(np.uint8), placed)
