"""A small out-of-focus painter: flat shapes and bright lights, blurred by a lens disc in linear light."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from generation.arrays import Floats, f32, shares
from generation.procedural.materials import Colour
from generation.procedural.noise import smoothstep


@dataclass(slots=True)
class Layer:
    """One sheet of shapes at one distance: colours, where they cover, and lights brighter than white."""

    width: int
    height: int
    opaque: bool
    colour: Image.Image = field(init=False)
    cover: Image.Image = field(init=False)
    light: Floats = field(init=False)
    pen: ImageDraw.ImageDraw = field(init=False)
    mask: ImageDraw.ImageDraw = field(init=False)

    def __post_init__(self) -> None:
        """Start empty (or black where opaque)."""
        self.colour = Image.new("RGB", (self.width, self.height))
        self.cover = Image.new("L", (self.width, self.height), 255 if self.opaque else 0)
        self.light = np.zeros((self.height, self.width, 3), np.float32)
        self.pen = ImageDraw.Draw(self.colour)
        self.mask = ImageDraw.Draw(self.cover)


def toned(colour: Colour, factor: float) -> Colour:
    """A colour made lighter or darker."""
    return (min(255.0, colour[0] * factor), min(255.0, colour[1] * factor), min(255.0, colour[2] * factor))


def spread(p: "Painter", rng: np.random.Generator, first: float, step: float) -> list[float]:
    """Places across the whole view, about ``step`` apart, one of them at ``first``: wide slots need no fewer things."""
    back, forth = int((first - p.left) / step), int((p.right - first) / step)
    return [first + i * step + (float(rng.normal(0, 0.08 * step)) if i else 0.0) for i in range(-back, forth + 1)]


class Painter:
    """Paints a scene in units of the product's size: x to the right of the product, y up from the far edge.

    ``left``, ``right`` and ``top`` are the visible ends. Shapes go to the ``far`` or the ``near`` sheet (far is
    default); ``picture`` blurs both and lays near over far.
    """

    def __init__(self, width: int, height: int, centre: float, edge: float, unit: float, margin: int) -> None:
        """A canvas of ``width`` × ``height`` pixels with ``margin`` more on each side."""
        self._margin, self._unit = margin, unit
        self._x, self._y = centre + margin, edge + margin
        self._width, self._height = width, height
        self.left, self.right = -centre / unit, (width - centre) / unit
        self.top = edge / unit
        size = (width + 2 * margin, height + 2 * margin)
        self._far, self._near = Layer(*size, opaque=True), Layer(*size, opaque=False)
        self._front = False

    def in_front(self) -> None:
        """Paint on the near sheet from here on."""
        self._front = True

    @property
    def _layer(self) -> Layer:
        return self._near if self._front else self._far

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return self._x + x * self._unit, self._y - y * self._unit

    def gradient(self, *stops: tuple[float, Colour]) -> None:
        """Fill the far sheet from top (0) to far edge (1) and below with colours between ``stops``."""
        layer = self._far
        rows = np.arange(layer.height, dtype=np.float32)
        at = (rows - self._margin) / max(self._y - self._margin, 1)
        channels = [np.interp(at, [s for s, _ in stops], [c[i] for _, c in stops]) for i in range(3)]
        picture = np.repeat(np.stack(channels, -1)[:, None, :], layer.width, axis=1)
        layer.colour.paste(Image.fromarray((picture + 0.5).astype(np.uint8)))

    def rect(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """A filled rectangle between two corners."""
        (a, b), (c, d) = self._at(min(x0, x1), max(y0, y1)), self._at(max(x0, x1), min(y0, y1))
        self._layer.pen.rectangle((a, b, c, d), fill=_rgb(colour))
        self._layer.mask.rectangle((a, b, c, d), fill=255)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """A filled ellipse."""
        (a, b), (c, d) = self._at(x - rx, y + ry), self._at(x + rx, y - ry)
        self._layer.pen.ellipse((a, b, c, d), fill=_rgb(colour))
        self._layer.mask.ellipse((a, b, c, d), fill=255)

    def shape(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon."""
        seen = [self._at(x, y) for x, y in points]
        self._layer.pen.polygon(seen, fill=_rgb(colour))
        self._layer.mask.polygon(seen, fill=255)

    def lamp(self, x: float, y: float, radius: float, colour: Colour, power: float) -> None:
        """A light of linear brightness ``power`` (1 is white paper): small ones become discs of the lens."""
        layer = self._layer
        column, row = self._at(x, y)
        reach = max(radius * self._unit, 0.75)
        x0, x1 = max(0, int(column - reach)), min(layer.width, int(column + reach) + 2)
        y0, y1 = max(0, int(row - reach)), min(layer.height, int(row + reach) + 2)
        if x0 >= x1 or y0 >= y1:
            return
        yy, xx = np.ogrid[y0:y1, x0:x1]
        inside = np.clip(reach + 0.5 - np.hypot(xx - column, yy - row), 0, 1).astype(np.float32)
        glow = inside[..., None] * (np.float32(power) * (shares(colour)) ** 2)
        layer.light[y0:y1, x0:x1] += glow

    def halo(self, x: float, y: float, radius: float, colour: Colour, power: float) -> None:
        """A soft glow round a light or on a wall: a Gaussian of linear brightness ``power``."""
        layer = self._layer
        column, row = self._at(x, y)
        yy, xx = np.ogrid[: layer.height, : layer.width]
        away = ((xx - column) ** 2 + (yy - row) ** 2) / (2 * (radius * self._unit) ** 2)
        layer.light += np.exp(-away).astype(np.float32)[..., None] * np.float32(power) * (shares(colour)) ** 2

    def leaves(
        self, rng: np.random.Generator, box: tuple[float, float, float, float], count: int, size: float,
        dark: Colour, light: Colour,
    ) -> None:  # fmt: skip
        """Foliage in a box (x0, y0, x1, y1): overlapping ovals from ``dark`` to ``light``, later ones lighter."""
        x = rng.uniform(box[0], box[2], count)
        y = rng.uniform(box[1], box[3], count)
        share = np.clip(np.linspace(0, 1, count) + rng.normal(0, 0.22, count), 0, 1)
        colours = np.array(dark) + share[:, None] * (np.array(light) - np.array(dark))
        radii = size * rng.uniform(0.4, 1.2, (count, 2))
        for a, b, (rx, ry), colour in zip(x.tolist(), y.tolist(), radii.tolist(), colours.tolist(), strict=True):
            self.oval(a, b, rx, ry, (colour[0], colour[1], colour[2]))

    def picture(self, far_blur: float, near_blur: float, wall: Floats | None = None) -> Floats:
        """The scene in linear light f32[height, width, 3]; blur radii in pixels; ``wall`` lights the far sheet."""
        far = _linear(self._far.colour)
        if wall is not None:
            far *= np.pad(wall, self._margin, mode="edge")[: far.shape[0], : far.shape[1], None]
        seen = _disc_blur(far + self._far.light, far_blur)
        if self._front:
            cover = f32(self._near.cover)[..., None] / 255
            sheet = np.concatenate([_linear(self._near.colour) * cover + self._near.light, cover], axis=-1)
            sheet = _disc_blur(sheet, near_blur)
            seen = sheet[..., :3] + seen * (1 - np.clip(sheet[..., 3:], 0, 1))
        m = self._margin
        return np.maximum(seen[m : m + self._height, m : m + self._width], 0)


def _rgb(colour: Colour) -> tuple[int, int, int]:
    return int(colour[0]), int(colour[1]), int(colour[2])


def _linear(image: Image.Image) -> Floats:
    return f32((shares(image)) ** 2)


def _disc_blur(picture: Floats, radius: float) -> Floats:
    """Convolve with a disc slightly brighter at its rim, as lenses draw it; wraps, so give a margin."""
    height, width = picture.shape[:2]
    y = np.fft.fftfreq(height, 1 / height)[:, None]
    x = np.fft.fftfreq(width, 1 / width)[None, :]
    away = np.hypot(x, y).astype(np.float32)
    disc = smoothstep(radius + 0.7, max(radius - 0.7, 0.0), away) * (0.82 + 0.18 * np.clip(away / max(radius, 1), 0, 1))
    spectrum = np.fft.rfft2((disc / disc.sum()).astype(np.float32))
    blurred = np.fft.irfft2(np.fft.rfft2(picture, axes=(0, 1)) * spectrum[..., None], s=(height, width), axes=(0, 1))
    result: Floats = blurred.astype(np.float32)
    return result
