"""Outdoor scenes: what lies out of focus behind the product. y = 0 is the far edge of its surface."""

import numpy as np

from generation.procedural.materials import Colour
from generation.procedural.painter import Painter


def _bokeh(
    p: Painter, rng: np.random.Generator, count: int, colours: tuple[Colour, ...], power: float, low: float = 0.1
) -> None:
    """Points of light, most of them weak."""
    area = (p.right - p.left) * (p.top + 0.2)
    for _ in range(int(count * area)):
        x, y = rng.uniform(p.left, p.right), low + rng.random() * max(p.top - low, 0.2)
        colour = colours[int(rng.integers(len(colours)))]
        p.lamp(x, y, 0.010, colour, power * float(rng.exponential(0.7)) + 1)


def garden(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """Lawn, hedges and flower beds with light falling through the leaves."""
    dim = 0.55 if night else 1.0
    p.gradient((0, (206 * dim, 224 * dim, 222 * dim)), (0.5, (176 * dim, 200 * dim, 142 * dim)), (1, (122 * dim, 156 * dim, 84 * dim)))
    wide = p.right - p.left + 1
    high = max(p.top, 0.9)
    p.leaves(rng, (p.left - 0.5, 0.42 * high, p.right + 0.5, high * 1.15), int(110 * wide), 0.15, (64 * dim, 96 * dim, 44 * dim), (188 * dim, 210 * dim, 118 * dim))
    p.leaves(rng, (p.left - 0.5, 0.10, p.right + 0.5, 0.52 * high), int(130 * wide), 0.10, (44 * dim, 80 * dim, 36 * dim), (138 * dim, 178 * dim, 84 * dim))
    p.rect(p.left - 1, -0.4, p.right + 1, 0.10, (116 * dim, 154 * dim, 74 * dim))
    flowers: tuple[Colour, ...] = (
        ((246, 226, 232), (232, 150, 170), (250, 240, 200)) if mood != "playful" else ((250, 120, 120), (255, 210, 90), (236, 140, 220))
    )
    for _ in range(int(16 * wide)):
        colour = flowers[int(rng.integers(3))]
        p.oval(rng.uniform(p.left, p.right), rng.uniform(0.08, 0.40), 0.045, 0.045, (colour[0] * dim, colour[1] * dim, colour[2] * dim))
    if night:
        _bokeh(p, rng, 9, ((255, 204, 130), (255, 226, 170)), 26, 0.3)
    else:
        _bokeh(p, rng, 16, ((255, 255, 224), (236, 250, 190)), 11, 0.35)
        p.halo(rng.uniform(-0.9, -0.4), high, 0.7, (255, 250, 220), 0.6)


def forest(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """Trunks in green haze, backlit."""
    dim = 0.5 if night or mood == "dramatic" else 1.0
    p.gradient((0, (150 * dim, 176 * dim, 132 * dim)), (0.6, (196 * dim, 208 * dim, 150 * dim)), (1, (96 * dim, 112 * dim, 62 * dim)))
    high = max(p.top, 0.9)
    wide = p.right - p.left + 1
    p.leaves(rng, (p.left - 0.5, 0.45 * high, p.right + 0.5, high * 1.2), int(90 * wide), 0.14, (60 * dim, 92 * dim, 48 * dim), (196 * dim, 210 * dim, 120 * dim))
    if not night:
        p.halo(rng.uniform(-0.5, 0.5), 0.7 * high, 0.55, (255, 246, 196), 0.9)
    for _ in range(int(5 * wide)):
        x, thick = rng.uniform(p.left - 0.3, p.right + 0.3), rng.uniform(0.03, 0.07)
        tone = rng.uniform(0.8, 1.3) * dim
        p.rect(x - thick, 0, x + thick, high * 1.3, (104 * tone, 98 * tone, 76 * tone))
    p.leaves(rng, (p.left - 0.5, -0.15, p.right + 0.5, 0.32), int(110 * wide), 0.085, (46 * dim, 70 * dim, 34 * dim), (132 * dim, 156 * dim, 74 * dim))
    _bokeh(p, rng, 14, ((255, 250, 206), (226, 244, 170)), 5 if night else 12, 0.3 * high)
    p.in_front()
    for _ in range(int(1.6 * wide)):
        x, thick = rng.uniform(p.left, p.right), rng.uniform(0.07, 0.12)
        if abs(x) > 0.6:  # noqa: PLR2004
            tone = rng.uniform(0.7, 1.0) * dim
            p.rect(x - thick, -0.1, x + thick, high * 1.4, (84 * tone, 72 * tone, 54 * tone))
            p.rect(x - thick, -0.1, x - thick * 0.4, high * 1.4, (132 * tone, 116 * tone, 86 * tone))


def beach(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """Sky, sea with sparkle, surf, a strip of sand and a palm leaf."""
    dim = 0.55 if night else 1.0
    warm = mood in {"warm", "dramatic"}
    top: Colour = (250 * dim, 206 * dim, 160 * dim) if warm else (122 * dim, 188 * dim, 232 * dim)
    low: Colour = (255 * dim, 232 * dim, 200 * dim) if warm else (222 * dim, 240 * dim, 248 * dim)
    sea: Colour = (116 * dim, 158 * dim, 168 * dim) if warm else (56 * dim, 156 * dim, 178 * dim)
    line = 0.52
    p.gradient((0, top), (max(0.2, 1 - line / max(p.top, 0.7)), low), (1, low))
    for _ in range(int(3 * (p.right - p.left))):
        x, y = rng.uniform(p.left, p.right), rng.uniform(line + 0.25, max(p.top, 1.2))
        for _ in range(5):
            p.oval(x + rng.normal(0, 0.16), y + rng.normal(0, 0.02), 0.17, 0.035, (252 * dim, 250 * dim, 246 * dim) if not warm else (255 * dim, 224 * dim, 192 * dim))
    bands = 10
    for i in range(bands):
        share = i / bands
        tone = (sea[0] + share * 70 * dim, sea[1] + share * 52 * dim, sea[2] + share * 40 * dim)
        p.rect(p.left - 1, line * (1 - share), p.right + 1, line * (1 - share) - line / bands - 0.01, tone)
    for _ in range(int(26 * (p.right - p.left))):
        p.lamp(rng.uniform(p.left, p.right), rng.uniform(0.2, line), 0.005, (255, 246, 220), 7 * dim)
    p.rect(p.left - 1, 0.13, p.right + 1, 0.165, (246 * dim, 248 * dim, 246 * dim))
    p.rect(p.left - 1, -0.4, p.right + 1, 0.13, (226 * dim, 204 * dim, 166 * dim))
    p.in_front()
    side = 1 if rng.random() < 0.5 else -1
    x, y = side * max(p.right, -p.left) * 1.02, p.top * 1.02
    for _ in range(11):
        angle, long = rng.uniform(0.15, 1.5), rng.uniform(0.7, 1.25)
        tip = (x - side * np.cos(angle) * long, y - np.sin(angle) * long * 0.75)
        p.shape([(x, y), ((x + tip[0]) / 2, (y + tip[1]) / 2 + 0.09), tip, ((x + tip[0]) / 2, (y + tip[1]) / 2 + 0.01)],
                (62 * dim, 116 * dim * rng.uniform(0.85, 1.2), 66 * dim))  # fmt: skip


def city_night(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """A dark skyline with windows and street lights that the lens turns into discs."""
    p.gradient((0, (16, 22, 44)), (0.55, (38, 42, 78)), (0.85, (96, 70, 96)), (1, (60, 48, 62)))
    for _ in range(int(5 * (p.right - p.left + 1))):
        x, wide, tall = rng.uniform(p.left - 0.3, p.right), rng.uniform(0.14, 0.36), rng.uniform(0.35, 1.1)
        shade = rng.uniform(0.7, 1.2)
        p.rect(x, 0, x + wide, tall, (24 * shade, 28 * shade, 46 * shade))
        for _ in range(int(26 * tall)):
            p.lamp(x + rng.uniform(0, wide), rng.uniform(0.05, tall), 0.006, (255, 214, 150), 9)
    colours: tuple[Colour, ...] = (
        ((255, 188, 96), (255, 214, 150), (255, 120, 88), (120, 190, 255))
        if mood != "playful"
        else ((255, 96, 170), (96, 220, 255), (255, 208, 96), (170, 120, 255))
    )
    _bokeh(p, rng, 20, colours, 60, 0.05)
    for x in np.arange(p.left, p.right, 0.16):
        p.lamp(x + rng.normal(0, 0.04), 0.10 + abs(rng.normal(0, 0.05)), 0.012, (255, 176, 90), 40 * rng.uniform(0.4, 1.3))
    p.halo(0.0, 0.1, 1.4, (255, 170, 110), 0.10)


def sunset_sky(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """Bands of warm sky, clouds lit from below, a low sun and hills."""
    if night:
        p.gradient((0, (52, 56, 104)), (0.55, (150, 96, 130)), (0.85, (238, 142, 108)), (1, (250, 186, 130)))
    elif mood in {"fresh", "calm"}:
        p.gradient((0, (150, 180, 220)), (0.5, (232, 206, 214)), (0.85, (255, 216, 182)), (1, (255, 232, 200)))
    else:
        p.gradient((0, (110, 116, 176)), (0.45, (226, 140, 138)), (0.8, (255, 184, 112)), (1, (255, 218, 150)))
    sun = rng.uniform(-0.9, -0.45) if rng.random() < 0.5 else rng.uniform(0.45, 0.9)
    p.halo(sun, 0.34, 0.55, (255, 206, 130), 0.75)
    p.lamp(sun, 0.34, 0.085, (255, 238, 200), 3.5)
    for _ in range(int(4 * (p.right - p.left + 1))):
        x, y = rng.uniform(p.left - 0.2, p.right + 0.2), rng.uniform(0.55, max(p.top, 1.1))
        for _ in range(7):
            p.oval(x + rng.normal(0, 0.22), y + rng.normal(0, 0.022), 0.24, 0.030, (255, 190, 158) if rng.random() < 0.6 else (206, 138, 150))
    for level, colour in ((0.27, (176, 120, 122)), (0.17, (128, 92, 104)), (0.07, (88, 70, 84))):
        x = np.linspace(p.left - 0.5, p.right + 0.5, 30)
        phase = rng.uniform(0, 6, 3)
        y = level * (0.75 + 0.3 * np.sin(x * 1.3 + phase[0]) + 0.15 * np.sin(x * 3.1 + phase[1]))
        p.shape([*zip(x.tolist(), y.tolist(), strict=True), (p.right + 1, -0.5), (p.left - 1, -0.5)], colour)
