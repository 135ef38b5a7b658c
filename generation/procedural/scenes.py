"""Scenes by name, painted small and enlarged: all of them are out of focus anyway."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from generation.arrays import Floats
from generation.procedural.indoors import kitchen, living_room, loft_window, shelf_wall, studio_gradient
from generation.procedural.light import Look, wall_gobo
from generation.procedural.outdoors import beach, city_night, forest, garden, sunset_sky
from generation.procedural.painter import Painter
from generation.procedural.plane import Stage

_SMALL_SIDE = 200
_MOST_UNIT = 0.42


class PaintScene(Protocol):
    """Paints one kind of scene for a mood, by day or by night."""

    def __call__(self, p: Painter, rng: np.random.Generator, mood: str, *, night: bool) -> None:
        """Draw on ``p``; all randomness from ``rng``."""
        ...


@dataclass(frozen=True, slots=True)
class Scene:
    """How to paint a scene; ``has_wall``: window light may fall on it."""

    paint: PaintScene
    has_wall: bool = False


SCENES: Mapping[str, Scene] = MappingProxyType(
    {
        "living-room": Scene(living_room, has_wall=True),
        "studio-gradient": Scene(studio_gradient, has_wall=True),
        "loft-window": Scene(loft_window),
        "garden": Scene(garden),
        "beach": Scene(beach),
        "city-night": Scene(city_night),
        "kitchen": Scene(kitchen, has_wall=True),
        "shelf-wall": Scene(shelf_wall, has_wall=True),
        "forest": Scene(forest),
        "sunset-sky": Scene(sunset_sky),
    }
)


def render_scene(stage: Stage, name: str, look: Look, mood: str, rng: np.random.Generator) -> Floats:
    """A scene in linear light, at a fraction of the full size: f32[h, w, 3]."""
    factor = min(1.0, _SMALL_SIDE / min(stage.width, stage.height))
    width, height = round(stage.width * factor), round(stage.height * factor)
    # A big product must not leave room for a single blurred thing behind it.
    unit = min(stage.unit, _MOST_UNIT * min(stage.width, stage.height)) * factor
    blur = stage.blur * factor
    margin = int(2 * blur) + 4
    painter = Painter(width, height, stage.centre * factor, stage.edge * factor, unit, margin)
    scene = SCENES[name]
    scene.paint(painter, rng, mood, night=look.night)
    wall = wall_gobo(width, height, unit, look, rng) if scene.has_wall else None
    return painter.picture(blur, blur * 0.7, wall)
