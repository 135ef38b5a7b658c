"""Surfaces as tileable textures: one function a material, made once per process and kept by ``TextureBox``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw

from generation.arrays import Floats, Pixels, f32, shares
from generation.procedural.noise import mix, ramp, relief, smoothstep, spectral

TEXTURE_SIZE = 1024
MIP_LEVELS = 7
_CHIP = 40

Colour = tuple[float, float, float]
Stops = tuple[tuple[float, Colour], ...]

_OAK: Stops = (
    (0.0, (150, 112, 74)), (0.35, (184, 144, 100)), (0.7, (205, 168, 124)), (1.0, (221, 189, 148)),
)  # fmt: skip
_WALNUT: Stops = (
    (0.0, (56, 36, 26)), (0.4, (86, 57, 40)), (0.75, (112, 76, 53)), (1.0, (138, 98, 70)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Texture:
    """A tileable picture and its halvings: ``levels[k]`` is u8[n/2^k, n/2^k, 3]; ``gloss`` 0 to 1.

    ``scale`` is the tile's side in units of the product's larger side; ``tint`` its mean colour, 0 to 1.
    """

    levels: tuple[Pixels, ...]
    gloss: float
    scale: float
    tint: Colour


@dataclass(frozen=True, slots=True)
class Material:
    """How to paint one tile (f32[n, n, 3], display values 0 to 1) and how it behaves."""

    paint: Callable[[np.random.Generator, int], Floats]
    gloss: float = 0.0
    scale: float = 1.6


def make_texture(material: Material, rng: np.random.Generator, size: int = TEXTURE_SIZE) -> Texture:
    """Paint a material's tile and halve it ``MIP_LEVELS`` times."""
    picture = np.clip(material.paint(rng, size), 0, 1)
    levels = [picture]
    while len(levels) < MIP_LEVELS:
        last = levels[-1]
        half = last.shape[0] // 2
        levels.append(last.reshape(half, 2, half, 2, 3).mean(axis=(1, 3), dtype=np.float32))
    mean = picture.mean(axis=(0, 1))
    return Texture(
        levels=tuple((level * 255 + 0.5).astype(np.uint8) for level in levels),
        gloss=material.gloss,
        scale=material.scale,
        tint=(float(mean[0]), float(mean[1]), float(mean[2])),
    )


def _wood(rng: np.random.Generator, size: int, stops: Stops, *, boards: int, streak: float) -> Floats:
    """Boards that run across the tile; grain is noise stretched along them, rings are its level lines."""
    wide = size // boards
    rows = np.arange(size)
    board = rows // wide
    tone = np.zeros((size, size), np.float32)
    fibre = spectral(rng, size, slope=1.0, stretch=(1, 60), lowest=8)
    band = spectral(rng, size, slope=2.4, stretch=(1, 14), lowest=2)
    bend = spectral(rng, size, slope=3.0, stretch=(1, 5))
    rings = np.sin((band * 1.1 + bend * 0.8) * 7.0)
    for index in range(boards):
        inside = board == index
        shift = int(rng.integers(size))
        lightness = rng.normal(0.0, 0.085)
        grain = 0.56 + 0.075 * np.roll(rings, shift, 1)[inside] + 0.11 * np.roll(bend, shift, 1)[inside]
        tone[inside] = grain + streak * np.roll(fibre, shift, 1)[inside] + lightness
    picture = ramp(tone, stops)
    pores = smoothstep(1.7, 2.6, spectral(rng, size, slope=0.4, stretch=(1, 26), lowest=30))
    picture *= (1 - 0.16 * pores)[..., None]
    return picture * (1 - _joints(rng, size, boards))[..., None]


def _joints(rng: np.random.Generator, size: int, boards: int) -> Floats:
    """Darkness f32[size, size] of the gaps between boards and at their ends."""
    wide = size // boards
    dark = np.zeros((size, size), np.float32)
    for index in range(boards):
        top = index * wide
        dark[top : top + 3] = 0.3
        dark[top + 1] = 0.5
        end = int(rng.integers(size))
        dark[top : top + wide, end : end + 2] = 0.38
    return dark


def _oak(rng: np.random.Generator, size: int) -> Floats:
    return _wood(rng, size, _OAK, boards=5, streak=0.055)


def _walnut(rng: np.random.Generator, size: int) -> Floats:
    return _wood(rng, size, _WALNUT, boards=4, streak=0.06)


def _marble(rng: np.random.Generator, size: int) -> Floats:
    """White stone: clouds, and slanting veins where a bent wave crosses zero, wide here and hair-thin there."""
    picture = ramp(
        0.66 + 0.16 * spectral(rng, size, slope=3.2),
        ((0.0, (212, 211, 211)), (0.5, (233, 232, 230)), (1.0, (247, 246, 244))),
    )
    place = np.arange(size, dtype=np.float32) / size * 2 * np.pi
    texel = size / TEXTURE_SIZE
    for width, weight, (down, across), colour in (
        (22.0, 0.30, (1, 1), (148, 147, 152)),
        (4.0, 0.62, (1, 1), (112, 111, 117)),
        (1.6, 0.60, (2, 1), (120, 118, 124)),
        (2.2, 0.45, (1, -1), (178, 150, 108)),
        (1.2, 0.5, (-2, 3), (140, 138, 142)),
    ):
        bend = 2.3 * spectral(rng, size, slope=3.6) + 0.06 * spectral(rng, size, slope=2.6, lowest=8)
        wave = np.sin(down * place[:, None] + across * place[None, :] + bend)
        steep = np.hypot(np.roll(wave, 1, 0) - wave, np.roll(wave, 1, 1) - wave) + 3e-3
        presence = smoothstep(-0.7, 1.4, spectral(rng, size, slope=3.0))
        vein = np.exp(-np.abs(wave) / steep / (width * texel * (0.35 + presence))) * (0.12 + 0.88 * presence) * weight
        picture = mix(picture, np.broadcast_to(shares(colour), picture.shape), vein)
    return picture


def _concrete(rng: np.random.Generator, size: int) -> Floats:
    tone = 0.5 + 0.13 * spectral(rng, size, slope=2.5) + 0.035 * spectral(rng, size, slope=0.6, lowest=20)
    picture = ramp(tone, ((0.0, (128, 127, 125)), (0.5, (164, 163, 160)), (1.0, (194, 193, 190))))
    pores = smoothstep(3.0, 3.7, spectral(rng, size, slope=0.3, lowest=60, highest=240))
    picture *= (1 - 0.3 * pores)[..., None]
    trowel = spectral(rng, size, slope=2.0, stretch=(1, 4), lowest=4)
    return picture * (1 + 0.04 * relief(trowel, 1.4))[..., None]


def _linen(rng: np.random.Generator, size: int) -> Floats:
    """Plain weave: crossing threads of uneven thickness, over soft folds."""
    threads = 150
    place = np.arange(size, dtype=np.float32) / size * threads * 2 * np.pi
    wobble = spectral(rng, size, slope=1.6, stretch=(1, 8), lowest=3) * 0.55
    lean = spectral(rng, size, slope=1.6, stretch=(8, 1), lowest=3) * 0.55
    warp_thread = np.sin(place[None, :] + lean)
    weft_thread = np.sin(place[:, None] + wobble)
    parity = np.sign(np.sin(place[None, :] / 2) * np.sin(place[:, None] / 2))
    weave = np.where(parity > 0, warp_thread, weft_thread)
    slub = spectral(rng, size, slope=1.0, stretch=(1, 30), lowest=12) + spectral(
        rng, size, slope=1.0, stretch=(30, 1), lowest=12
    )
    folds = relief(spectral(rng, size, slope=4.2, stretch=(1, 1.6)) * 14, 0.9)
    tone = 0.60 + 0.10 * weave + 0.045 * slub + 0.28 * folds
    return ramp(tone, ((0.0, (168, 154, 134)), (0.5, (214, 203, 186)), (1.0, (240, 233, 221))))


def _terrazzo(rng: np.random.Generator, size: int) -> Floats:
    """Chips of stone in pale cement: random convex polygons, drawn wrapped."""
    picture = Image.new("RGB", (size, size), (233, 229, 222))
    draw = ImageDraw.Draw(picture)
    palette = (
        (196, 164, 138),
        (150, 147, 142),
        (222, 196, 170),
        (110, 118, 116),
        (190, 120, 96),
        (244, 241, 236),
        (126, 143, 137),
    )
    for _ in range(950):
        radius = float(rng.choice((5.0, 8.0, 13.0, 21.0, 30.0), p=(0.36, 0.3, 0.2, 0.1, 0.04))) * rng.uniform(0.8, 1.2)
        x, y = rng.uniform(0, size, 2)
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(5, 8))))
        reach = radius * rng.uniform(0.75, 1.15, len(angles))
        squash = rng.uniform(0.6, 1.0)
        colour = _brighter(palette[int(rng.integers(7))], float(rng.normal(0, 7)))
        for dx in (-size, 0, size):
            for dy in (-size, 0, size):
                if abs(x + dx - size / 2) < size / 2 + _CHIP and abs(y + dy - size / 2) < size / 2 + _CHIP:
                    outline = zip(
                        x + dx + np.cos(angles) * reach, y + dy + np.sin(angles) * reach * squash, strict=True
                    )
                    draw.polygon([(float(a), float(b)) for a, b in outline], fill=colour)
    tile = shares(picture)
    return tile * (1 + 0.022 * spectral(rng, size, slope=1.2, lowest=3))[..., None]


def _brighter(colour: Colour, by: float) -> tuple[int, int, int]:
    red, green, blue = (int(min(max(value + by, 0), 255)) for value in colour)
    return red, green, blue


def _slate(rng: np.random.Generator, size: int) -> Floats:
    height = spectral(rng, size, slope=2.6, stretch=(1, 1.7), lowest=2)
    layers = f32(np.floor(height * 2.6 + 0.5 * spectral(rng, size, slope=1.8, lowest=6)) / 2.6)
    tone = 0.5 + 0.10 * height + 0.05 * spectral(rng, size, slope=1.0, lowest=10)
    picture = ramp(tone, ((0.0, (44, 49, 55)), (0.5, (68, 74, 80)), (1.0, (100, 105, 110))))
    shade = relief(layers, 0.8) * 0.34 + relief(spectral(rng, size, slope=1.5, lowest=8), 0.5) * 0.24
    return f32(picture * (1 + shade)[..., None])


def _sand(rng: np.random.Generator, size: int) -> Floats:
    """Fine grain over wind ripples; both are shaded as relief."""
    down = np.arange(size, dtype=np.float32)[:, None] / size * 2 * np.pi
    bend = spectral(rng, size, slope=3.2, stretch=(1.6, 1))
    ripple = np.sin(down * 17 + bend * 2.6) * (0.5 + 0.5 * smoothstep(-1, 1, spectral(rng, size, slope=3.0)))
    dunes = spectral(rng, size, slope=3.4, lowest=1)
    shade = 0.30 * relief(ripple, 7.0) + 0.35 * relief(dunes, 26.0)
    tone = 0.55 + shade + 0.05 * spectral(rng, size, slope=0.2, lowest=40)
    return ramp(tone, ((0.0, (166, 136, 98)), (0.5, (217, 192, 153)), (1.0, (245, 228, 197))))


def _grass(rng: np.random.Generator, size: int) -> Floats:
    """A lawn from above: many short blades, later ones lighter, drawn wrapped."""
    picture = Image.new("RGB", (size, size), (46, 72, 28))
    draw = ImageDraw.Draw(picture)
    count = 15_000
    starts = rng.uniform(0, size, (count, 2))
    angles = rng.normal(-np.pi / 2, 0.75, count)
    lengths = rng.uniform(10, 30, count)
    ends = starts + np.stack([np.cos(angles), np.sin(angles)], 1) * lengths[:, None]
    age = np.linspace(0, 1, count)
    base = np.array([58.0, 92.0, 34.0]) + age[:, None] * np.array([62.0, 62.0, 28.0])
    colours = np.clip(base + rng.normal(0, 13, (count, 1)) + rng.normal(0, 6, (count, 3)), 0, 255).astype(int)
    for (x0, y0), (x1, y1), colour in zip(starts.tolist(), ends.tolist(), colours.tolist(), strict=True):
        fill = (colour[0], colour[1], colour[2])
        draw.line((x0, y0, x1, y1), fill=fill, width=2)
        if y1 < 0:
            draw.line((x0, y0 + size, x1, y1 + size), fill=fill, width=2)
    tile = shares(picture)
    return tile * (1 + 0.08 * spectral(rng, size, slope=2.4))[..., None]


def _tile(rng: np.random.Generator, size: int) -> Floats:
    """Glazed square tiles with pale grout; each glaze a little different."""
    across = 6
    side = size / across
    place = np.arange(size, dtype=np.float32)
    index = (place / side).astype(int)
    within = place - index * side
    near = np.minimum(within, side - 1 - within)
    edge = np.minimum(near[:, None], near[None, :])
    glaze = rng.normal(0, 0.11, (across, across)).astype(np.float32)[index[:, None], index[None, :]]
    tone = 0.55 + glaze + 0.07 * spectral(rng, size, slope=2.6, lowest=3)
    picture = ramp(tone, ((0.0, (158, 181, 173)), (0.5, (196, 213, 205)), (1.0, (228, 237, 231))))
    picture *= (0.86 + 0.14 * smoothstep(3, 12, edge))[..., None]
    bevel = smoothstep(9, 4, edge) * smoothstep(2.5, 5, edge)
    picture += (0.10 * bevel)[..., None]
    grout = ramp(0.5 + 0.1 * spectral(rng, size, slope=1.0, lowest=8), ((0.0, (190, 188, 182)), (1.0, (216, 214, 208))))
    return mix(picture, grout, smoothstep(4.2, 2.6, edge))


MATERIALS: Mapping[str, Material] = MappingProxyType(
    {
        "oak": Material(_oak, gloss=0.16, scale=1.7),
        "walnut": Material(_walnut, gloss=0.26, scale=1.7),
        "marble": Material(_marble, gloss=0.5, scale=2.2),
        "concrete": Material(_concrete, gloss=0.06, scale=2.0),
        "linen": Material(_linen, gloss=0.0, scale=1.5),
        "terrazzo": Material(_terrazzo, gloss=0.34, scale=1.8),
        "slate": Material(_slate, gloss=0.14, scale=1.8),
        "sand": Material(_sand, gloss=0.0, scale=1.9),
        "grass": Material(_grass, gloss=0.0, scale=1.2),
        "tile": Material(_tile, gloss=0.55, scale=1.9),
    }
)


class TextureBox:
    """Textures by material name, each painted on first use from a seed of its own: same name, same tile."""

    def __init__(self, size: int = TEXTURE_SIZE) -> None:
        """Start empty; tiles have ``size`` texels a side (a power of two)."""
        self._size = size
        self._made: dict[str, Texture] = {}

    def get(self, name: str) -> Texture:
        """The texture of a material in ``MATERIALS``."""
        if name not in self._made:
            rng = np.random.default_rng(list(name.encode()))
            self._made[name] = make_texture(MATERIALS[name], rng, self._size)
        return self._made[name]
