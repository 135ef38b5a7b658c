"""Shadows and reflections of a cut-out that stands on the ground, from nothing but its outline."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from generation.arrays import Floats, Pixels, f32, shares
from generation.procedural.light import Look

_SOLID = 0.5
_FAINT = 0.3
_SHADOW_SIDE = 220
_AWAY = 0.10
_AWAY_BY_LENGTH = 0.26
_POLYGON = 3
_DEPTH_BY_WIDTH, _DEPTH_BY_HEIGHT = 0.30, 0.26
_GENTLE = 0.42


@dataclass(frozen=True, slots=True)
class Feet:
    """Where the product touches the ground, in pixels of the slot.

    ``columns`` and ``rows`` (n,) are the points of contact, ``base`` the lowest row, ``back`` the highest
    contact row, ``width`` and ``height`` the product's size.
    """

    columns: NDArray[np.int64]
    rows: NDArray[np.int64]
    base: int
    back: int
    width: int
    height: int


def find_feet(alpha: Floats) -> Feet | None:
    """Read the points of contact off an outline f32[h, w]; None if nothing in it is opaque.

    A column touches the ground where its lowest opaque pixel is as low as its neighbours' and no higher above the
    lowest of all than the ground under a product seen from slightly above can reach, or on a gently rising edge.
    """
    solid = alpha > _SOLID
    filled = np.flatnonzero(solid.any(axis=0))
    if not len(filled):
        return None
    rows_used = np.flatnonzero(solid.any(axis=1))
    width, height = int(filled[-1] - filled[0]) + 1, int(rows_used[-1] - rows_used[0]) + 1
    bottom = np.full(solid.shape[1], -1, np.int64)
    bottom[filled] = solid.shape[0] - 1 - solid[::-1, filled].argmax(axis=0)
    base = int(bottom.max())
    reach = max(2, round(0.05 * width))
    lowest_near = np.copy(bottom)
    for shift in range(1, reach + 1):
        lowest_near[shift:] = np.maximum(lowest_near[shift:], bottom[:-shift])
        lowest_near[:-shift] = np.maximum(lowest_near[:-shift], bottom[shift:])
    slack = max(2, round(0.012 * height))
    low = (bottom >= lowest_near - slack) & (bottom >= 0)
    close = bottom >= base - min(_DEPTH_BY_WIDTH * width, _DEPTH_BY_HEIGHT * height)
    touching = np.flatnonzero(low & (close | _along_edge(bottom, filled, base, width, slack)))
    rows = bottom[touching]
    return Feet(touching, rows, base, int(rows.min()), width, height)


def _along_edge(
    bottom: NDArray[np.int64], filled: NDArray[np.int64], base: int, width: int, slack: int
) -> NDArray[np.bool_]:
    """Columns on the lower hull of the outline that rises gently from the base: the bottom edge of a long product."""
    points = [(float(x), float(-bottom[x])) for x in filled.tolist()]
    chain = _hull(points)
    lower = sorted({x: max(-y for a, y in chain if a == x) for x, _ in chain}.items())
    hull = np.interp(np.arange(len(bottom)), [x for x, _ in lower], [y for _, y in lower])
    lowest = np.flatnonzero(bottom >= base - slack)
    away = np.abs(np.arange(len(bottom))[:, None] - lowest[[0, -1]][None, :]).min(axis=1)
    gentle = bottom >= base - np.minimum(_DEPTH_BY_WIDTH * width, _GENTLE * away + slack)
    on_hull: NDArray[np.bool_] = (bottom >= hull - slack) & gentle
    return on_hull


def shade_of(alpha: Floats, feet: Feet, look: Look, top: int) -> Floats:
    """Light f32[h - top, w] that the product leaves on the ground below row ``top``: 1 is all of it.

    Three parts, multiplied: the dark line of contact, the shade under and close to the product (hull of its
    feet), and the soft shadow cast by the key light. Worked out small: nothing of it is sharp.
    """
    height, width = alpha.shape
    scale = min(1.0, _SHADOW_SIDE / max(feet.width, feet.height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    sharp = _sheet(_contact(feet, size, scale), width, height)
    under = _under(feet, size, scale)
    cast = _cast(alpha, feet, look, size, scale)
    soft = _sheet((1 - 0.62 * under) * (1 - np.float32(look.shadow_dark) * cast), width, height)
    return ((1 - 0.80 * sharp) * soft)[top:]


def _sheet(small: Floats, width: int, height: int) -> Floats:
    image = Image.fromarray(small.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return f32(image).clip(0, 1)


def _contact(feet: Feet, size: tuple[int, int], scale: float) -> Floats:
    """The dark line where product and ground meet: f32, 0 to 1."""
    image = Image.new("L", size, 0)
    draw = ImageDraw.Draw(image)
    thick = max(0.011 * max(feet.width, 0.6 * feet.height) * scale, 0.8)
    for x, y in zip(feet.columns.tolist(), feet.rows.tolist(), strict=True):
        a, b = x * scale, y * scale
        draw.line((a, b - 2.5 * thick, a, b + 0.5 * thick), fill=255, width=1)
    soft = image.filter(ImageFilter.GaussianBlur((1.1 * thick, 0.75 * thick)))
    return (f32(soft) / 150).clip(0, 1)


def _under(feet: Feet, size: tuple[int, int], scale: float) -> Floats:
    """Shade under the product: the hull of its feet, blurred twice (tight and wide)."""
    image = Image.new("L", size, 0)
    draw = ImageDraw.Draw(image)
    points = _hull([(float(x), float(y)) for x, y in zip(feet.columns.tolist(), feet.rows.tolist(), strict=True)])
    scaled = [(x * scale, y * scale) for x, y in points]
    body = max(feet.width, 0.6 * feet.height) * scale
    if len(scaled) > 1:
        draw.polygon(scaled, fill=255)
        draw.line([*scaled, scaled[0]], fill=255, width=max(2, round(0.03 * body)))
    tight = shares(image.filter(ImageFilter.GaussianBlur((0.028 * body, 0.013 * body))))
    wide = shares(image.filter(ImageFilter.GaussianBlur((0.10 * body, 0.040 * body))))
    return f32((0.75 * tight + 0.85 * wide).clip(0, 1))


def _cast(alpha: Floats, feet: Feet, look: Look, size: tuple[int, int], scale: float) -> Floats:
    """The outline laid on the ground away from the light, each column from its own foot: f32, 0 to 1.

    A point at height h above its column's foot darkens the ground ``shadow_length`` h to the right and a
    foreshortened part of h away; high points do so more softly and more faintly.
    """
    width, height = size
    outline = shares(Image.fromarray((alpha * 255).astype(np.uint8)).resize(size, Image.Resampling.BOX))
    columns = np.arange(width)
    foot = np.interp(columns, feet.columns * scale, feet.rows * scale)
    tall = max(round(feet.height * scale), 2)
    heights = np.arange(0, tall)[:, None]
    rows = np.round(foot[None, :] - heights).astype(np.int64)
    found = f32(np.where(rows >= 0, outline[np.clip(rows, 0, height - 1), columns[None, :]], 0))
    away = _AWAY + _AWAY_BY_LENGTH * look.shadow_length
    x = np.round(columns[None, :] + look.shadow_length * heights).astype(np.int64)
    y = np.round(foot[None, :] - away * heights).astype(np.int64)
    kept = (found > _FAINT) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    share = np.broadcast_to((heights / tall).astype(np.float32), found.shape)
    total = np.zeros((height, width), np.float32)
    for low, high, spread in ((-0.3, 0.25, 0.16), (0.25, 0.60, 0.55), (0.60, 1.1, 1.1)):
        sheet = np.zeros((height, width), np.float32)
        part = kept & (share >= low) & (share < high)
        np.maximum.at(sheet, (y[part], x[part]), found[part])
        blur = max(look.shadow_soft * spread * tall, 0.8)
        image = Image.fromarray((sheet * 255).astype(np.uint8))
        image = image.filter(ImageFilter.MaxFilter(3)).filter(ImageFilter.GaussianBlur((blur, blur * 0.5 + 0.4)))
        fade = 1.0 - 0.45 * max(low, 0.0)
        total = f32(1 - (1 - total) * (1 - shares(image) * fade))
    return total


def mirrored(rgb: Pixels, alpha: Floats, feet: Feet, top: int) -> tuple[Floats, Floats]:
    """Reflection of the product's foot: linear light f32[h - top, w, 3] and its cover f32[h - top, w].

    Each column is mirrored about its own point of contact, and fades within a fifth of the product's height.
    """
    height, width = alpha.shape
    light = np.zeros((height - top, width, 3), np.float32)
    cover = np.zeros((height - top, width), np.float32)
    depth = min(round(0.22 * feet.height), height - feet.back - 1)
    if depth < 1:
        return light, cover
    inside = feet.columns
    bottom = np.zeros(width, np.int64)
    bottom[inside] = feet.rows
    steps = np.arange(1, depth + 1)[:, None]
    source = bottom[inside][None, :] - steps + 1
    target = bottom[inside][None, :] + steps - top
    kept = (source >= 0) & (target >= 0) & (target < height - top)
    columns = np.broadcast_to(inside[None, :], source.shape)
    fade = (1 - steps / (depth + 1)).astype(np.float32) ** 1.6
    weight = alpha[np.clip(source, 0, height - 1), columns] * fade
    cover[target[kept], columns[kept]] = weight[kept]
    shown = (rgb[source[kept], columns[kept]].astype(np.float32) / 255) ** 2
    light[target[kept], columns[kept]] = shown * weight[kept][:, None]
    return light, cover


def _hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Convex hull of points (Andrew's monotone chain)."""
    ordered = sorted(set(points))
    if len(ordered) < _POLYGON:
        return ordered
    halves = []
    for sequence in (ordered, ordered[::-1]):
        chain: list[tuple[float, float]] = []
        for p in sequence:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], p) <= 0:
                chain.pop()
            chain.append(p)
        halves.append(chain[:-1])
    return halves[0] + halves[1]


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
