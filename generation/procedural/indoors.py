"""Indoor scenes: what stands out of focus behind the product. y = 0 is the far edge of its surface."""

import numpy as np

from generation.procedural.materials import Colour
from generation.procedural.painter import Painter, spread, toned

_BOOKS: tuple[Colour, ...] = (
    (178, 92, 66),
    (222, 186, 120),
    (92, 116, 122),
    (228, 220, 206),
    (66, 78, 92),
    (160, 148, 120),
    (204, 140, 110),
)
_WALLS: dict[str, tuple[Colour, ...]] = {
    "calm": ((214, 211, 203), (205, 212, 208), (222, 214, 205)),
    "warm": ((226, 206, 182), (219, 190, 164), (230, 214, 190)),
    "fresh": ((214, 226, 222), (206, 222, 228), (226, 230, 218)),
    "dramatic": ((116, 112, 112), (92, 100, 106), (120, 98, 88)),
    "playful": ((240, 202, 190), (190, 214, 226), (244, 220, 164)),
}


def _wall(mood: str, rng: np.random.Generator) -> Colour:
    choices = _WALLS.get(mood, _WALLS["calm"])
    return choices[int(rng.integers(len(choices)))]


def _potted_plant(p: Painter, rng: np.random.Generator, x: float, scale: float) -> None:
    high, wide = 0.3 * scale, 0.13 * scale
    pot = [(x - wide, high), (x + wide, high), (x + 0.8 * wide, -0.05), (x - 0.8 * wide, -0.05)]
    p.shape(pot, (196, 178, 158))
    for _ in range(22):
        lean, long = float(rng.normal(0, 0.5)), float(rng.uniform(0.4, 0.85)) * scale
        tip = (x + lean * long, 0.3 * scale + long)
        wide = 0.07 * scale
        green = rng.uniform(0.7, 1.25)
        middle = ((x + tip[0]) / 2, (0.3 * scale + tip[1]) / 2 + 0.05)
        p.shape(
            [(x, 0.28 * scale), (middle[0] - wide, middle[1]), tip, (middle[0] + wide, middle[1])],
            (62 * green, 96 * green, 62 * green),
        )


def _window(p: Painter, x: float, y: float, width: float, height: float, *, night: bool, panes: int = 2) -> None:
    """A window: bright sky by day, deep blue by night; white frame."""
    p.rect(x - 0.05, y - 0.05, x + width + 0.05, y + height + 0.05, (90, 84, 80) if night else (246, 244, 240))
    step = width / panes
    for i in range(panes):
        a = x + i * step + 0.03
        p.rect(a, y, a + step - 0.06, y + height, (42, 56, 86) if night else (232, 240, 250))
        if not night:
            p.halo(a + step / 2, y + height * 0.62, min(step, height) * 0.5, (255, 252, 244), 0.5)


def _sofa(p: Painter, x: float, colour: Colour) -> None:
    p.rect(x - 0.85, 0.0, x + 0.85, 0.34, toned(colour, 0.8))
    p.rect(x - 0.80, 0.26, x + 0.80, 0.70, colour)
    p.rect(x - 0.80, 0.26, x + 0.80, 0.32, toned(colour, 0.65))
    for dx in (-0.90, 0.90):
        p.rect(x + dx - 0.11, 0.0, x + dx + 0.11, 0.44, toned(colour, 0.92))
        p.oval(x + dx, 0.44, 0.11, 0.07, toned(colour, 1.08))
    for dx, lean, cushion in ((-0.52, 0.05, (226, 196, 150)), (0.48, -0.06, (236, 228, 214))):
        left, right = x + dx - 0.19, x + dx + 0.19
        p.shape([(left, 0.34), (right, 0.34 + lean), (right - lean, 0.70), (left - lean, 0.68)], cushion)


def _floor_lamp(p: Painter, x: float, *, night: bool) -> None:
    p.rect(x - 0.015, 0, x + 0.015, 1.25, (70, 60, 52))
    p.shape([(x - 0.22, 1.2), (x + 0.22, 1.2), (x + 0.14, 1.55), (x - 0.14, 1.55)], (250, 226, 180))
    p.lamp(x, 1.35, 0.14, (255, 214, 150), 2.2 if night else 1.0)
    p.halo(x, 1.3, 0.55, (255, 196, 120), 0.5 if night else 0.12)


def living_room(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """A wall with windows and pictures, a sofa, plants and a lamp that glows."""
    wall = _wall(mood, rng)
    p.gradient((0, toned(wall, 1.04)), (0.7, wall), (1, toned(wall, 0.86)))
    p.rect(p.left - 1, -0.05, p.right + 1, 0.075, toned(wall, 1.12))
    side = 1 if rng.integers(2) else -1
    for x in spread(p, rng, side * 1.05, 3.4):
        _window(p, x - 0.45, 0.5, 0.9, max(p.top, 1.0) * 0.9 + 0.3, night=night)
        for dx in (-0.62, 0.46):
            p.rect(x + dx, 0.05, x + dx + 0.17, p.top + 0.6, toned(wall, 1.12 if not night else 0.8))
    for x in spread(p, rng, -side * 0.95, 5.6):
        for dx in (-0.42, 0.0, 0.42):
            high, base = float(rng.uniform(0.16, 0.22)), 1.0 + float(rng.uniform(0, 0.08))
            p.rect(x + dx - 0.16, base, x + dx + 0.16, base + 2 * high, (92, 74, 58))
            p.rect(x + dx - 0.135, base + 0.025, x + dx + 0.135, base + 2 * high - 0.025, (238, 233, 224))
            p.shape(
                [(x + dx - 0.1, base + 0.05), (x + dx + 0.1, base + 0.05), (x + dx + 0.02, base + 1.5 * high)],
                _BOOKS[int(rng.integers(7))],
            )
    p.in_front()
    colour: Colour = ((78, 104, 102), (158, 96, 68), (66, 82, 112), (138, 132, 112))[int(rng.integers(4))]
    for x in spread(p, rng, -side * 0.95, 5.6):
        _sofa(p, x, colour)
    for x in spread(p, rng, side * 0.72, 3.4):
        _potted_plant(p, rng, x, 0.9)
    for x in spread(p, rng, -side * 2.15, 5.6):
        _floor_lamp(p, x, night=night)


def studio_gradient(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """A seamless backdrop in one colour with a pool of light behind the product."""
    colours: dict[str, tuple[Colour, ...]] = {
        "calm": ((206, 210, 204), (214, 206, 196), (198, 208, 214)),
        "warm": ((232, 196, 168), (226, 178, 150), (238, 212, 176)),
        "fresh": ((186, 216, 206), (180, 210, 226), (206, 222, 180)),
        "dramatic": ((66, 70, 80), (84, 62, 58), (54, 66, 66)),
        "playful": ((248, 186, 176), (168, 200, 236), (250, 210, 120)),
    }
    choices = colours.get(mood, colours["calm"])
    colour = choices[int(rng.integers(len(choices)))]
    p.gradient((0, toned(colour, 0.74)), (0.55, toned(colour, 0.94)), (1, toned(colour, 1.04)))
    p.halo(rng.uniform(-0.15, 0.15), 0.35, 0.62, toned(colour, 1.12), 0.42 if not night else 0.55)


def loft_window(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """Brick on the sides and a tall steel window with a hazy city behind it."""
    brick: Colour = (158, 98, 74) if mood in {"warm", "dramatic", "playful"} else (180, 146, 126)
    p.gradient((0, toned(brick, 0.9)), (1, brick))
    course = 0.075
    for row in range(int(p.top / course) + 4):
        y = row * course
        for x in np.arange(p.left - 0.5, p.right + 0.5, 0.22):
            shift = 0.11 * (row % 2)
            p.rect(x + shift, y, x + shift + 0.205, y + course - 0.012, toned(brick, rng.uniform(0.82, 1.14)))
    span = min(2.6, max(1.5, 0.62 * (p.right - p.left)))
    start = rng.uniform(-0.75, -0.35) * span
    high = max(p.top * 1.05, 1.3)
    sky: Colour = (36, 48, 78) if night else (208, 224, 238)
    p.rect(start - 0.06, 0.22, start + span + 0.06, high + 0.2, (46, 46, 48))
    p.rect(start, 0.28, start + span, high, sky)
    for _ in range(14):
        x, wide = start + rng.uniform(0, span * 0.92), rng.uniform(0.12, 0.32)
        tall = 0.28 + rng.uniform(0.15, 0.75)
        shade = rng.uniform(0.72, 0.92)
        tower: Colour = (30 * shade, 36 * shade, 54 * shade) if night else (168 * shade, 180 * shade, 192 * shade)
        p.rect(x, 0.28, min(x + wide, start + span), tall, tower)
        if night:
            for _ in range(6):
                p.lamp(x + rng.uniform(0, wide), rng.uniform(0.3, tall), 0.008, (255, 210, 140), 12)
    if not night:
        p.halo(start + span * 0.45, high * 0.72, 0.55, (255, 246, 226), 0.5)
    columns = max(3, round(span / 0.42))
    for i in range(columns + 1):
        x = start + i * span / columns
        p.rect(x - 0.018, 0.25, x + 0.018, high + 0.1, (42, 42, 44))
    for y in np.arange(0.28, high, 0.52):
        p.rect(start, y - 0.016, start + span, y + 0.016, (42, 42, 44))
    p.rect(start - 0.1, 0.16, start + span + 0.1, 0.24, (120, 112, 104))
    p.in_front()
    for x in spread(p, rng, start + span + float(rng.uniform(0.1, 0.3)), 2.6):
        _potted_plant(p, rng, x, 0.85)


def kitchen(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """Cabinets, a tiled splashback, a wooden shelf with jars, and two pendant lamps."""
    cabinet: Colour = {
        "fresh": (150, 176, 166),
        "warm": (206, 186, 160),
        "dramatic": (54, 64, 70),
        "playful": (226, 172, 150),
    }.get(mood, (196, 202, 200))
    wall = toned(_wall(mood, rng), 0.94)
    p.gradient((0, wall), (1, toned(wall, 0.95)))
    side = 0.16
    for row in range(7):
        for x in np.arange(p.left - 0.4, p.right + 0.4, side):
            y = 0.12 + row * side * 0.62
            p.rect(x, y, x + side - 0.010, y + side * 0.62 - 0.010, toned(wall, rng.uniform(0.98, 1.13)))
    p.rect(p.left - 1, -0.2, p.right + 1, 0.0, toned(cabinet, 0.95))
    p.rect(p.left - 1, 0.0, p.right + 1, 0.07, (226, 222, 214))
    p.rect(p.left - 1, 0.82, p.right + 1, 0.88, (158, 116, 78))
    for x in np.arange(p.left - 0.1, p.right + 0.2, 0.17).tolist():
        kind = str(rng.choice(("jar", "bowl", "herbs", "gap"), p=(0.42, 0.22, 0.14, 0.22)))
        if kind == "jar":
            p.rect(x, 0.88, x + rng.uniform(0.08, 0.13), 0.88 + rng.uniform(0.12, 0.28), _BOOKS[int(rng.integers(7))])
        elif kind == "bowl":
            p.oval(x + 0.06, 0.95, 0.075, 0.075, (236, 230, 220))
        elif kind == "herbs":
            p.leaves(rng, (x - 0.06, 0.92, x + 0.18, 1.18), 26, 0.035, (52, 84, 48), (132, 168, 98))
    for x in np.arange(p.left - 0.3, p.right + 0.4, 0.62).tolist():
        p.rect(x, 1.36, x + 0.60, p.top + 0.5, cabinet)
        p.rect(x + 0.05, 1.42, x + 0.55, p.top + 0.4, toned(cabinet, 1.06))
        p.rect(x + 0.52, 1.5, x + 0.54, 1.66, (190, 160, 110))
    p.in_front()
    shade: Colour = (186, 132, 84) if mood == "warm" else (64, 66, 70)
    y = min(p.top * 0.80, 1.25)
    for x in spread(p, rng, -1.0, 1.9):
        p.rect(x - 0.008, y, x + 0.008, p.top + 0.5, (50, 50, 50))
        p.shape([(x - 0.17, y), (x + 0.17, y), (x + 0.05, y + 0.2), (x - 0.05, y + 0.2)], shade)
        p.lamp(x, y - 0.01, 0.06, (255, 220, 160), 5.0 if night else 2.4)
        p.halo(x, y - 0.1, 0.36, (255, 210, 150), 0.45 if night else 0.14)
    for x in spread(p, rng, -1.5, 3.1):
        p.rect(x - 0.13, 0.0, x + 0.13, 0.20, (206, 150, 116))
        p.leaves(rng, (x - 0.2, 0.16, x + 0.2, 0.52), 60, 0.06, (48, 82, 44), (126, 166, 92))
    for x in spread(p, rng, 1.35, 3.1):
        for dx, colour in ((-0.08, (226, 150, 62)), (0.05, (206, 74, 52)), (0.12, (232, 184, 82))):
            p.oval(x + dx, 0.20, 0.07, 0.07, colour)
        p.shape([(x - 0.24, 0.19), (x + 0.24, 0.19), (x + 0.1, 0.0), (x - 0.1, 0.0)], (240, 234, 224))


def _shelved(p: Painter, rng: np.random.Generator, x: float, base: float) -> float:
    """Put books, a vase, a plant or nothing on a shelf at ``x``; returns the room it takes."""
    kind = str(rng.choice(("books", "vase", "plant", "gap"), p=(0.58, 0.16, 0.12, 0.14)))
    if kind == "books":
        taken = 0.0
        for _ in range(int(rng.integers(3, 8))):
            wide, tall = float(rng.uniform(0.035, 0.07)), float(rng.uniform(0.24, 0.40))
            colour = toned(_BOOKS[int(rng.integers(7))], float(rng.uniform(0.8, 1.1)))
            p.rect(x + taken, base, x + taken + wide - 0.004, base + tall, colour)
            taken += wide
        return taken
    if kind == "vase":
        p.oval(x + 0.12, base + 0.12, 0.10, 0.13, (232, 222, 206))
        p.rect(x + 0.09, base + 0.2, x + 0.15, base + 0.32, (232, 222, 206))
        return 0.28
    if kind == "plant":
        p.rect(x + 0.04, base, x + 0.2, base + 0.14, (198, 140, 106))
        p.leaves(rng, (x - 0.03, base + 0.12, x + 0.27, base + 0.38), 34, 0.045, (50, 84, 52), (136, 170, 104))
        return 0.32
    return float(rng.uniform(0.12, 0.3))


def shelf_wall(p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
    """Shelves of books, vases and plants from end to end."""
    wall = toned(_wall(mood, rng), 0.92)
    p.gradient((0, toned(wall, 1.03)), (1, toned(wall, 0.95)))
    wood: Colour = (150, 112, 78) if mood != "dramatic" else (84, 64, 50)
    step = 0.56
    for level in range(int((p.top + 0.4) / step) + 2):
        base = level * step - 0.12
        p.rect(p.left - 1, base - 0.045, p.right + 1, base, wood)
        p.rect(p.left - 1, base - 0.075, p.right + 1, base - 0.045, toned(wall, 0.72))
        x = p.left - 0.6
        while x < p.right + 0.3:
            x += _shelved(p, rng, x, base) + float(rng.uniform(0.03, 0.12))
        if night:
            for lamp in np.arange(p.left, p.right, 0.5).tolist():
                p.lamp(lamp, base + step - 0.1, 0.014, (255, 206, 140), 14)
                p.halo(lamp, base + step - 0.14, 0.2, (255, 196, 120), 0.10)
