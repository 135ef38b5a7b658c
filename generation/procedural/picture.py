"""One procedural background: scene, ground, light, shadows and reflections put together."""

import math

import numpy as np

from generation.arrays import Floats, Pixels, f32
from generation.procedural.light import Look, enlarge, finish, ground_light, look_of
from generation.procedural.materials import Texture, TextureBox
from generation.procedural.noise import smoothstep
from generation.procedural.plane import Stage, first_row, render_ground
from generation.procedural.scenes import render_scene
from generation.procedural.shadow import find_feet, mirrored, shade_of

_ELEVATION = math.radians(13)
_LENS = 2.5
_SOLID = 0.5
_GLOSSY = 0.2
_SPOT = 0.6


def stage_for(alpha: Floats) -> Stage:
    """Set up the camera for a product's outline f32[h, w]: shop photos look down on it by about 13 degrees."""
    height, width = alpha.shape
    feet = find_feet(alpha)
    rows = np.flatnonzero((alpha > _SOLID).any(axis=1))
    columns = np.flatnonzero((alpha > _SOLID).any(axis=0))
    if feet is None or not len(rows):
        top, base, left, right = height * 0.2, height * 0.8, width * 0.3, width * 0.7
        floor = base
    else:
        top, base, left, right = float(rows[0]), float(rows[-1]), float(columns[0]), float(columns[-1])
        floor = (feet.base + feet.back) / 2
    unit = max(base - top, right - left, 8.0)
    focal = _LENS * unit
    horizon = (top + base) / 2 - focal * math.tan(_ELEVATION)
    edge = floor - 0.52 * (floor - horizon)
    blur = 0.010 * unit + 0.016 * min(width, height)
    return Stage(width, height, floor, horizon, edge, focal, unit, (left + right) / 2, blur)


def paint_background(rgb: Pixels, alpha: Floats, tags: dict[str, str], seed: int, textures: TextureBox) -> Pixels:
    """A background u8[h, w, 3] for a placed product (``rgb`` u8[h, w, 3], ``alpha`` f32[h, w], 0 to 1).

    ``tags`` must name a surface, scene, light and mood. The product itself is not painted, only what it does to
    its surroundings: shade, cast shadow, reflection. Equal arguments give equal pixels.
    """
    rng = np.random.default_rng(seed)
    look = look_of(tags["light"], tags["mood"])
    stage = stage_for(alpha)
    texture = textures.get(tags["surface"])
    small = render_scene(stage, tags["scene"], look, tags["mood"], rng)
    top = first_row(stage)
    behind = _enlarged(small * np.float32(0.82), stage.width, stage.height)
    origin = (float(rng.random()), float(rng.random()))
    ground = render_ground(stage, texture, origin) ** 2
    light = ground_light(stage, look, top, rng)
    feet = find_feet(alpha)
    if feet is not None:
        light = light * shade_of(alpha, feet, look, top)
    ground *= light[..., None]
    ground = _reflect(ground, behind, stage, texture, top)
    if feet is not None and texture.gloss > _GLOSSY:
        shine, cover = mirrored(rgb, alpha, feet, top)
        strength = np.float32(0.42 * texture.gloss)
        ground = ground * (1 - strength * cover[..., None]) + shine * strength
    behind[top:] = _join(behind[top:], ground, stage, top)
    behind *= _scene_dim(stage, look)[..., None]
    return (finish(behind, look, stage, rng) * 255 + 0.5).astype(np.uint8)


def _enlarged(small: Floats, width: int, height: int) -> Floats:
    return np.stack([enlarge(np.ascontiguousarray(small[..., i]), width, height) for i in range(3)], axis=-1).clip(0)


def _reflect(ground: Floats, behind: Floats, stage: Stage, texture: Texture, top: int) -> Floats:
    """The scene mirrored in the ground about its far edge: stronger far away (Schlick) and on glossy surfaces."""
    rows = np.arange(top, stage.height, dtype=np.float32)
    source = np.clip(2 * stage.edge - rows, 0, max(stage.edge - 1, 0)).astype(np.int64)
    seen = behind[source].mean(axis=1, keepdims=True) * 0.45 + behind[source] * 0.55
    away = np.clip((stage.edge - stage.horizon) / np.maximum(rows - stage.horizon, 1), 0, 1)
    fresnel = np.float32(texture.gloss) * (0.10 + 0.75 * away**3) + 0.05 * away**3
    weight = fresnel.astype(np.float32)[:, None, None]
    result: Floats = ground * (1 - weight) + seen * weight
    return result


def _join(scene: Floats, ground: Floats, stage: Stage, top: int) -> Floats:
    """Ground over scene with an edge as soft as the depth of field there."""
    soft = float(stage.blur_at(f32([stage.edge]))[0]) + 0.7
    rows = np.arange(top, stage.height, dtype=np.float32) + 0.5
    share = smoothstep(stage.edge - soft, stage.edge + soft, rows)[:, None, None]
    return scene + (ground - scene) * share


def _scene_dim(stage: Stage, look: Look) -> Floats:
    """Under a spotlight what lies behind is darker than what is lit: f32[h, 1]."""
    if look.pool < _SPOT:
        return np.ones((stage.height, 1), np.float32)
    rows = np.arange(stage.height, dtype=np.float32)[:, None]
    share = smoothstep(stage.edge + 0.1 * stage.unit, stage.edge - 0.1 * stage.unit, rows)
    return 1 - np.float32(look.pool - 0.35) * share
