"""Outdoor scenes: what lies out of focus behind the product. y = 0 is the far edge of its surface."""

import numpy as np

from generation.procedural.materials import Colour
from generation.procedural.painter import Painter, toned

# Nothing dark may stand right behind the product.
_CLEAR = 0.6


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
    p.gradient((0, toned((206, 224, 222), dim)), (0.5, toned((176, 200, 142), dim)), (1, toned((122, 156, 84), dim)))
    wide = p.right - p.left + 1
    high = max(p.top, 0.9)
    p.leaves(
        rng,
        (p.left - 0.5, 0.42 * high, p.right + 0.5, high * 1.15),
        int(110 * wide),
        0.15,
        toned((64, 96, 44), dim),
        toned((188, 210, 118), dim),
    )
    p.leaves(
        rng,
        (p.left - 0.5, 0.10, p.right + 0.5, 0.52 * high),
        int(130 * wide),
        0.10,
        toned((44, 80, 36), dim),
        toned((138, 178, 84), dim),
    )
    p.rect(p.left - 1, -0.4, p.right + 1, 0.10, toned((116, 154, 74), dim))
    flowers: tuple[Colour, ...] = (
        ((246, 226, 232), (232, 150, 170), (250, 240, 200))
        if mood != "playful"
        else ((250, 120, 120), (255, 210, 90), (236, 140, 220))
    )
    for _ in range(int(16 * wide)):
        colour = flowers[int(rng.integers(3))]
        p.oval(rng.uniform(p.left, p.right), rng.uniform(0.08, 0.40), 0.045, 0.045, toned(colour, dim))
    if night:
        _bokeh(p, rng, 9, ((255, 204, 130), (255, 226, 170)), 26, 0.3)
    else:
        _bokeh(p, rng, 16, ((255, 255, 224), (236, 250, 190)), 11, 0.35)
        p.halo(rng.uniform(-0.9, -0.4), high, 0.7, (255, 250, 220), 0.6)


def forest(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """Trunks in green haze, backlit."""
    dim = 0.68 if night or mood == "dramatic" else 1.0
    p.gradient((0, toned((150, 176, 132), dim)), (0.6, toned((196, 208, 150), dim)), (1, toned((96, 112, 62), dim)))
    high = max(p.top, 0.9)
    wide = p.right - p.left + 1
    p.leaves(
        rng,
        (p.left - 0.5, 0.45 * high, p.right + 0.5, high * 1.2),
        int(90 * wide),
        0.14,
        toned((60, 92, 48), dim),
        toned((196, 210, 120), dim),
    )
    if not night:
        p.halo(rng.uniform(-0.5, 0.5), 0.7 * high, 0.55, (255, 246, 196), 0.9)
    for _ in range(int(5 * wide)):
        x, thick = rng.uniform(p.left - 0.3, p.right + 0.3), rng.uniform(0.03, 0.07)
        tone = rng.uniform(0.8, 1.3) * dim
        p.rect(x - thick, 0, x + thick, high * 1.3, toned((104, 98, 76), tone))
    p.leaves(
        rng,
        (p.left - 0.5, -0.15, p.right + 0.5, 0.32),
        int(110 * wide),
        0.085,
        toned((46, 70, 34), dim),
        toned((132, 156, 74), dim),
    )
    _bokeh(p, rng, 14, ((255, 250, 206), (226, 244, 170)), 5 if night else 12, 0.3 * high)
    p.in_front()
    for _ in range(int(1.6 * wide)):
        x, thick = rng.uniform(p.left, p.right), rng.uniform(0.07, 0.12)
        if abs(x) > _CLEAR:
            tone = rng.uniform(0.7, 1.0) * dim
            p.rect(x - thick, -0.1, x + thick, high * 1.4, toned((84, 72, 54), tone))
            p.rect(x - thick, -0.1, x - thick * 0.4, high * 1.4, toned((132, 116, 86), tone))


def beach(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """Sky, sea with sparkle, surf, a strip of sand and a palm leaf."""
    if night:
        dim, top, low, sea = 0.75, (74, 104, 152), (240, 184, 158), (62, 100, 126)
        cloud: Colour = (232, 178, 168)
    elif mood in {"warm", "dramatic"}:
        dim, top, low, sea = 1.0, (150, 178, 196), (255, 214, 160), (104, 150, 158)
        cloud = (255, 226, 196)
    else:
        dim, top, low, sea = 1.0, (122, 188, 232), (222, 240, 248), (56, 156, 178)
        cloud = (252, 250, 246)
    line = 0.52
    p.gradient((0, top), (max(0.2, 1 - line / max(p.top, 0.7)), low), (1, low))
    for _ in range(int(3 * (p.right - p.left))):
        x, y = rng.uniform(p.left, p.right), rng.uniform(line + 0.25, max(p.top, 1.2))
        for _ in range(5):
            p.oval(x + rng.normal(0, 0.16), y + rng.normal(0, 0.02), 0.17, 0.035, cloud)
    bands = 10
    for i in range(bands):
        share = i / bands
        tone = (sea[0] + share * 66 * dim, sea[1] + share * 50 * dim, sea[2] + share * 38 * dim)
        p.rect(p.left - 1, line * (1 - share), p.right + 1, line * (1 - share) - line / bands - 0.01, tone)
    for _ in range(int(26 * (p.right - p.left))):
        p.lamp(rng.uniform(p.left, p.right), rng.uniform(0.2, line), 0.005, (255, 246, 220), 7 * dim)
    p.rect(p.left - 1, 0.13, p.right + 1, 0.165, toned((246, 248, 246), dim))
    p.rect(p.left - 1, -0.4, p.right + 1, 0.13, toned((226, 204, 166), dim))
    p.in_front()
    side = 1 if rng.integers(2) else -1
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
        p.rect(x, 0, x + wide, tall, toned((24, 28, 46), shade))
        for _ in range(int(26 * tall)):
            p.lamp(x + rng.uniform(0, wide), rng.uniform(0.05, tall), 0.006, (255, 214, 150), 9)
    colours: tuple[Colour, ...] = (
        ((255, 188, 96), (255, 214, 150), (255, 120, 88), (120, 190, 255))
        if mood != "playful"
        else ((255, 96, 170), (96, 220, 255), (255, 208, 96), (170, 120, 255))
    )
    _bokeh(p, rng, 20, colours, 60, 0.05)
    for x in np.arange(p.left, p.right, 0.16).tolist():
        p.lamp(
            x + rng.normal(0, 0.04), 0.10 + abs(rng.normal(0, 0.05)), 0.012, (255, 176, 90), 40 * rng.uniform(0.4, 1.3)
        )
    p.halo(0.0, 0.1, 1.4, (255, 170, 110), 0.10)


def sunset_sky(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """Bands of warm sky, clouds lit from below, a low sun and hills."""
    if night:
        p.gradient((0, (52, 56, 104)), (0.55, (150, 96, 130)), (0.85, (238, 142, 108)), (1, (250, 186, 130)))
    elif mood in {"fresh", "calm"}:
        p.gradient((0, (150, 180, 220)), (0.5, (232, 206, 214)), (0.85, (255, 216, 182)), (1, (255, 232, 200)))
    else:
        p.gradient((0, (110, 116, 176)), (0.45, (226, 140, 138)), (0.8, (255, 184, 112)), (1, (255, 218, 150)))
    sun = float(rng.choice((-1.0, 1.0)) * rng.uniform(0.45, 0.9))
    p.halo(sun, 0.34, 0.55, (255, 206, 130), 0.75)
    p.lamp(sun, 0.34, 0.085, (255, 238, 200), 3.5)
    for _ in range(int(4 * (p.right - p.left + 1))):
        x, y = rng.uniform(p.left - 0.2, p.right + 0.2), rng.uniform(0.55, max(p.top, 1.1))
        for _ in range(7):
            p.oval(
                x + rng.normal(0, 0.22),
                y + rng.normal(0, 0.022),
                0.24,
                0.030,
                ((255, 190, 158), (206, 138, 150))[int(rng.integers(2))],
            )
    for level, colour in ((0.27, (176, 120, 122)), (0.17, (128, 92, 104)), (0.07, (88, 70, 84))):
        along = np.linspace(p.left - 0.5, p.right + 0.5, 30)
        phase = rng.uniform(0, 6, 3)
        ridge = level * (0.75 + 0.3 * np.sin(along * 1.3 + phase[0]) + 0.15 * np.sin(along * 3.1 + phase[1]))
        p.shape([*zip(along.tolist(), ridge.tolist(), strict=True), (p.right + 1, -0.5), (p.left - 1, -0.5)], colour)
