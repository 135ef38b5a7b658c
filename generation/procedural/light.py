"""Light and mood as numbers: what a prompt's tags do to exposure, colour, shadow and glow."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from generation.arrays import Floats, f32, shares
from generation.procedural.noise import smoothstep
from generation.procedural.plane import Stage

Gain = tuple[float, float, float]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_COARSE = 4


@dataclass(frozen=True, slots=True)
class Look:
    """One light: linear ``gain`` per channel, ``ambient`` share that reaches shade, ``pool`` fall-off of the key.

    The key comes from the upper left, as in a studio; shadows fall to the right. ``shadow_length`` is in units
    of the product's height, ``shadow_soft`` its penumbra (same units), ``shadow_dark`` its depth. ``gobo`` names
    the shape cast on ground and wall. ``glow`` adds light from the upper left corner, ``vignette`` darkens the
    rim, ``contrast`` and ``saturation`` are applied last.
    """

    gain: Gain = (1.0, 1.0, 1.0)
    exposure: float = 1.0
    pool: float = 0.25
    gobo: str = ""
    gobo_gain: float = 0.0
    glow: float = 0.0
    glow_colour: Gain = (1.0, 1.0, 1.0)
    vignette: float = 0.15
    contrast: float = 1.0
    saturation: float = 1.0
    shadow_length: float = 0.5
    shadow_soft: float = 0.10
    shadow_dark: float = 0.45
    night: bool = False


LIGHTS: Mapping[str, Look] = MappingProxyType(
    {
        "soft-morning": Look(
            gain=(1.03, 1.01, 0.97), exposure=1.02, pool=0.24, gobo="window", gobo_gain=0.34, glow=0.09,
            glow_colour=(1.0, 0.96, 0.88), vignette=0.10, contrast=0.96, saturation=0.94,
            shadow_length=0.55, shadow_soft=0.13, shadow_dark=0.48,
        ),
        "golden-hour": Look(
            gain=(1.12, 0.97, 0.78), exposure=0.98, pool=0.32, gobo="leaves", gobo_gain=0.42, glow=0.22,
            glow_colour=(1.0, 0.72, 0.38), vignette=0.22, contrast=1.03, saturation=1.06,
            shadow_length=0.95, shadow_soft=0.10, shadow_dark=0.60,
        ),
        "bright-noon": Look(
            gain=(1.0, 1.0, 1.0), exposure=1.06, pool=0.14, glow=0.05, vignette=0.06, contrast=1.02,
            saturation=1.08, shadow_length=0.34, shadow_soft=0.08, shadow_dark=0.58,
        ),
        "cool-evening": Look(
            gain=(0.91, 0.97, 1.08), exposure=0.90, pool=0.36, glow=0.10, glow_colour=(0.7, 0.82, 1.0),
            vignette=0.28, contrast=1.0, saturation=0.90, shadow_length=0.5, shadow_soft=0.16, shadow_dark=0.52,
            night=True,
        ),
        "spotlight": Look(
            gain=(1.04, 1.0, 0.94), exposure=0.92, pool=0.86, glow=0.0, vignette=0.42, contrast=1.06,
            saturation=1.0, shadow_length=0.42, shadow_soft=0.07, shadow_dark=0.68, night=True,
        ),
    }
)  # fmt: skip


def look_of(light: str, mood: str) -> Look:
    """The look of a light under a mood (calm, warm, fresh, dramatic, playful; others leave it as it is)."""
    look = LIGHTS[light]
    red, green, blue = look.gain
    if mood == "calm":
        return replace(look, saturation=look.saturation * 0.88, contrast=look.contrast * 0.97)
    if mood == "warm":
        return replace(look, gain=(red * 1.04, green, blue * 0.94))
    if mood == "fresh":
        cooler = (red * 0.98, green * 1.01, blue * 1.03)
        return replace(look, gain=cooler, exposure=look.exposure * 1.05, saturation=look.saturation * 1.08)
    if mood == "dramatic":
        return replace(
            look, exposure=look.exposure * 0.84, contrast=look.contrast * 1.08, vignette=look.vignette + 0.14,
            pool=min(look.pool + 0.2, 0.95), shadow_dark=min(look.shadow_dark + 0.08, 0.8),
        )  # fmt: skip
    if mood == "playful":
        return replace(look, saturation=look.saturation * 1.16, exposure=look.exposure * 1.03)
    return look


def enlarge(field: Floats, width: int, height: int) -> Floats:
    """A smooth field f32[h, w] at another size, bicubic."""
    image = Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC)
    return f32(image)


def ground_light(stage: Stage, look: Look, top: int, rng: np.random.Generator) -> Floats:
    """Brightness f32[height - top, width] of the ground: the key's pool round the product, and its gobo."""
    small_w, small_h = max(8, stage.width // _COARSE), max(8, (stage.height - top) // _COARSE)
    rows = np.linspace(top, stage.height, small_h, dtype=np.float32)
    columns = np.linspace(0, stage.width, small_w, dtype=np.float32)
    near = stage.nearness(rows)[:, None]
    across = (columns[None, :] - stage.centre) / near / stage.unit
    away = stage.focal * (1 / near - 1) / stage.unit
    # A flattened pool: it reaches farther to the sides and away than a circle on the ground would.
    distance = np.hypot(across / 1.15, away / 2.6)
    light = 1 - np.float32(look.pool) * smoothstep(0.35, 1.7, distance)
    if look.gobo:
        shape = _gobo_on_ground(stage, look.gobo, top, (small_w, small_h), rng)
        light *= 1 + look.gobo_gain * (shape - 0.35)
    return enlarge(light.astype(np.float32), stage.width, stage.height - top)


def wall_gobo(width: int, height: int, unit: float, look: Look, rng: np.random.Generator) -> Floats:
    """Brightness f32[height, width] of a wall behind: slanting panes or leaf shade, soft; 1 where nothing falls."""
    if not look.gobo:
        return np.ones((height, width), np.float32)
    image = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(image)
    lean = 0.35
    x, y = width * rng.uniform(0.16, 0.4), height * rng.uniform(0.05, 0.25)
    for column in range(2):
        for row in range(3):
            left = x + column * unit * 0.42
            high = y + row * unit * 0.50
            corners = [(left, high), (left + unit * 0.37, high + unit * 0.37 * lean)]
            corners += [(a, b + unit * 0.44) for a, b in reversed(corners)]
            draw.polygon(corners, fill=255)
    if look.gobo == "leaves":
        _leaf_shade(draw, (width, height), unit, rng)
    soft = image.filter(ImageFilter.GaussianBlur(unit * 0.03 + 1))
    return f32(1 + look.gobo_gain * (shares(soft) - 0.3))


def _gobo_on_ground(stage: Stage, gobo: str, top: int, size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Share of window light f32[h, w]: panes lie slanting on the ground, each corner projected."""
    image = Image.new("L", size, 0)
    draw = ImageDraw.Draw(image)
    scale_x, scale_y = size[0] / stage.width, size[1] / (stage.height - top)
    start_x, start_z = rng.uniform(-1.5, -1.1), rng.uniform(-0.6, -0.2)
    for column in range(3):
        for row in range(2):
            low_x, low_z = start_x + column * 0.78, start_z + row * 1.5
            quad = ((low_x, low_z), (low_x + 0.66, low_z), (low_x + 0.66, low_z + 1.3), (low_x, low_z + 1.3))
            # Light from the left: panes shear to the right as they come nearer.
            seen = [_seen(stage, x - 0.45 * z, z) for x, z in quad]
            draw.polygon([(x * scale_x, (y - top) * scale_y) for x, y in seen], fill=255)
    if gobo == "leaves":
        _leaf_shade(draw, size, stage.unit * scale_x, rng)
    soft = image.filter(ImageFilter.GaussianBlur(stage.unit * scale_x * 0.035 + 0.5))
    return shares(soft)


def _leaf_shade(draw: ImageDraw.ImageDraw, size: tuple[int, int], unit: float, rng: np.random.Generator) -> None:
    for _ in range(int(40 * size[0] * size[1] / max(unit * unit, 1))):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        long, thin = unit * rng.uniform(0.06, 0.16), unit * rng.uniform(0.02, 0.06)
        draw.ellipse((x - long, y - thin, x + long, y + thin), fill=int(rng.integers(0, 60)))


def _seen(stage: Stage, across: float, away: float) -> tuple[float, float]:
    """Pixel (column, row) of a ground point in units."""
    near = stage.focal / max(stage.focal + away * stage.unit, stage.focal * 0.2)
    return stage.centre + across * stage.unit * near, stage.horizon + (stage.floor - stage.horizon) * near


def finish(linear: Floats, look: Look, stage: Stage, rng: np.random.Generator) -> Floats:
    """Develop linear light f32[h, w, 3] into display values 0 to 1: glow, vignette, film curve, colour, grain."""
    height, width = linear.shape[:2]
    small = (max(8, height // 8), max(8, width // 8))
    y = np.linspace(-1, 1, small[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, small[1], dtype=np.float32)[None, :]
    rim = 1 - np.float32(look.vignette) * smoothstep(0.5, 1.5, np.hypot(x * 0.95, y * 0.95))
    corner = np.exp(-((x + 1.05) ** 2 + (y + 1.1) ** 2) / 0.9) * np.float32(look.glow)
    picture = linear * (np.float32(look.exposure) * enlarge(rim, width, height))[..., None]
    picture *= f32(look.gain)
    if look.glow > 0:
        picture += enlarge(corner, width, height)[..., None] * f32(look.glow_colour)
    # A soft shoulder: 1 maps to about 0.86, lights far above it roll off to white.
    picture = picture * (1 + picture / 9.0) / (1 + picture * 0.42) * np.float32(1.22)
    np.clip(picture, 0, 1, out=picture)
    np.sqrt(picture, out=picture)
    if look.contrast != 1.0:
        picture += (picture - 0.5) * np.float32(look.contrast - 1)
    if look.saturation != 1.0:
        luma = picture @ _LUMA
        picture += (picture - luma[..., None]) * np.float32(look.saturation - 1)
    grain = rng.standard_normal((128, 128), dtype=np.float32) * np.float32(0.0055)
    tiled = np.tile(grain, (height // 128 + 1, width // 128 + 1))[:height, :width]
    picture += tiled[..., None]
    return picture.clip(0, 1)
