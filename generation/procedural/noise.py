"""Tileable noise and small array helpers for procedural textures; all float32, all periodic."""

import numpy as np

from generation.arrays import Floats, f32


def spectral(
    rng: np.random.Generator,
    size: int,
    *,
    slope: float = 2.0,
    stretch: tuple[float, float] = (1.0, 1.0),
    lowest: float = 1.0,
    highest: float | None = None,
) -> Floats:
    """Periodic noise f32[size, size] of mean 0 and variance 1 with power falling as frequency ** -slope.

    ``stretch`` (down, across) lengthens features along an axis; frequencies (cycles per tile, after
    stretching) outside ``lowest`` to ``highest`` are left out.
    """
    down = np.fft.fftfreq(size, 1 / size).astype(np.float32)[:, None] * stretch[0]
    across = np.fft.rfftfreq(size, 1 / size).astype(np.float32)[None, :] * stretch[1]
    radius = np.hypot(down, across)
    gain = np.zeros_like(radius)
    kept = radius >= lowest
    if highest is not None:
        kept &= radius <= highest
    gain[kept] = radius[kept] ** (-slope / 2)
    white = np.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    field = np.fft.irfft2(white * gain, s=(size, size)).astype(np.float32)
    return f32((field - field.mean()) / max(float(field.std()), 1e-9))


def smoothstep(low: float, high: float, value: Floats) -> Floats:
    """0 below ``low``, 1 above ``high``, a smooth cubic between (``low`` may be the larger)."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return f32(t * t * (3 - 2 * t))


def ramp(value: Floats, stops: tuple[tuple[float, tuple[float, float, float]], ...]) -> Floats:
    """Colours f32[..., 3] at ``value`` along ``stops`` of (position, RGB 0 to 255); result 0 to 1."""
    at = [stop for stop, _ in stops]
    channels = [np.interp(value, at, [colour[i] / 255 for _, colour in stops]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def mix(first: Floats, second: Floats, share: Floats) -> Floats:
    """Blend two pictures f32[h, w, 3] by ``share`` f32[h, w] of the second."""
    weight = share[..., None]
    return first * (1 - weight) + second * weight


def relief(height: Floats, strength: float) -> Floats:
    """Shading f32[size, size] around 0 of a periodic height field lit from the upper left."""
    slope_down = np.roll(height, -1, 0) - np.roll(height, 1, 0)
    slope_across = np.roll(height, -1, 1) - np.roll(height, 1, 1)
    return np.tanh((slope_down + slope_across) * strength) * np.float32(0.5)
