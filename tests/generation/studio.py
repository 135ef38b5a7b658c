"""Made-up photos, prompts and slots, and a segmenter written for the interface."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from contracts import Placement, Product, Prompt
from generation import CutOut
from generation.arrays import Floats, Pixels, f32

GREY = (214, 214, 212)
SLOTS = (Placement("square", 160, 160), Placement("banner", 320, 96), Placement("tall", 120, 220))
GARDEN = {"surface": "oak", "scene": "garden", "light": "bright-noon", "mood": "fresh"}
KITCHEN = {"surface": "slate", "scene": "kitchen", "light": "spotlight", "mood": "calm"}
PROMPTS = (
    Prompt("oak", "seating", "on oak", "", dict(surface="oak", scene="garden", light="bright-noon", mood="fresh")),
    Prompt(
        "slate", "seating", "on slate", "text", dict(surface="slate", scene="kitchen", light="spotlight", mood="calm")
    ),
)


def photo_pixels(width: int = 240, height: int = 240, colour: tuple[int, int, int] = (150, 60, 40)) -> Pixels:
    """A stool with two legs on a plain backdrop with a soft vignette."""
    image = Image.new("RGB", (width * 4, height * 4), GREY)
    pen = ImageDraw.Draw(image)
    w, h = width * 4, height * 4
    pen.rectangle((w * 0.3, h * 0.25, w * 0.7, h * 0.55), fill=colour)
    pen.rectangle((w * 0.33, h * 0.55, w * 0.38, h * 0.8), fill=colour)
    pen.rectangle((w * 0.62, h * 0.55, w * 0.67, h * 0.8), fill=colour)
    picture = f32(image.resize((width, height), Image.Resampling.BOX))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return (picture * f32(1 - 0.04 * (x * x + y * y))[..., None]).astype(np.uint8)


def truth(width: int = 240, height: int = 240) -> Floats:
    """The stool's own alpha."""
    shape = photo_pixels(width, height, (0, 0, 0)).astype(np.float32).max(axis=2)
    plain = photo_pixels(width, height, GREY).astype(np.float32).max(axis=2)
    return f32(1 - shape / plain).clip(0, 1)


def encoded(pixels: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """An image file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


class BackdropSegmenter:
    """Marks what differs from a grey backdrop, coarsely, as a network would."""

    def __init__(self) -> None:
        self.calls = 0

    def mask(self, rgb: Pixels) -> Floats:
        self.calls += 1
        away = np.abs(rgb.astype(np.float32) - f32(GREY)).max(axis=2)
        small = Image.fromarray(f32(away > 40)).resize((rgb.shape[1] // 2, rgb.shape[0] // 2), Image.Resampling.BOX)
        return f32(small.resize((rgb.shape[1], rgb.shape[0]), Image.Resampling.BICUBIC)).clip(0, 1)


def cutout(width: int = 120, height: int = 140, colour: tuple[int, int, int] = (150, 60, 40)) -> CutOut:
    """A product cut out: a solid body with a soft outline, on two feet."""
    alpha = Image.new("L", (width * 4, height * 4), 0)
    pen = ImageDraw.Draw(alpha)
    pen.rounded_rectangle((8, 8, width * 4 - 9, height * 3), radius=30, fill=255)
    pen.rectangle((24, height * 2, 90, height * 4 - 1), fill=255)
    pen.rectangle((width * 4 - 90, height * 2, width * 4 - 24, height * 4 - 1), fill=255)
    soft = f32(alpha.resize((width, height), Image.Resampling.BOX)) / 255
    ripple = 20 * np.sin(np.arange(width * height).reshape(height, width) / 7)
    rgb = (f32(colour) + f32(ripple)[..., None]).clip(0, 255).astype(np.uint8)
    return CutOut(rgb, f32(soft), "ab" * 32, GREY)


def product(item: str = "stool", category: str = "seating", image_uri: str = "stool.png") -> Product:
    return Product(item, category, "Stool", "", 10.0, "", image_uri)
