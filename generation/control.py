"""What guides a diffusion model round the product: its edges, and the mask of what to paint."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from generation.arrays import Floats, Pixels, f32, shares
from generation.layout import Placed
from generation.shapes import shrunk

_EDGE_GAIN = 4.0
_SOLID = 0.5
_BLANK = 127


@dataclass(frozen=True, slots=True)
class Canvas:
    """What a model is shown: ``image`` u8[h, w, 3], the product on grey; ``mask``, ``edges`` u8[h, w], 0 to 255."""

    image: Pixels
    mask: Pixels
    edges: Pixels


def canvas(placed: Placed, size: tuple[int, int], into: int) -> Canvas:
    """The canvas of a placed product at a ``size`` (width, height)."""
    rgb = np.array(Image.fromarray(placed.rgb).resize(size, Image.Resampling.BOX))
    small = Placed(rgb, np.array(Image.fromarray(placed.alpha).resize(size, Image.Resampling.BOX)))
    alpha = small.alpha[..., None]
    image = (small.rgb * alpha + _BLANK * (1 - alpha) + 0.5).astype(np.uint8)
    mask, edges = paint_mask(small, into), edge_map(small)
    return Canvas(image, (mask * 255).astype(np.uint8), (edges * 255).astype(np.uint8))


def edge_map(placed: Placed) -> Floats:
    """Edges f32[h, w], 0 to 1, of the placed product and of its outline (Sobel, 1968); nothing elsewhere."""
    luma = f32(shares(placed.rgb) @ f32((0.299, 0.587, 0.114)))
    strength = np.maximum(_sobel(luma) * (placed.alpha > 0), _sobel(placed.alpha))
    return (strength * np.float32(_EDGE_GAIN / 4)).clip(0, 1)


def paint_mask(placed: Placed, into: int) -> Floats:
    """1 where the model may paint, f32[h, w]: the background and ``into`` pixels into the product.

    Painting a little under the product hides its seam: the original is pasted over it afterwards.
    """
    return f32(~shrunk(placed.alpha > _SOLID, into))


def _sobel(field: Floats) -> Floats:
    p = np.pad(field, 1, mode="edge")
    across = p[:-2, 2:] + 2 * p[1:-1, 2:] + p[2:, 2:] - p[:-2, :-2] - 2 * p[1:-1, :-2] - p[2:, :-2]
    down = p[2:, :-2] + 2 * p[2:, 1:-1] + p[2:, 2:] - p[:-2, :-2] - 2 * p[:-2, 1:-1] - p[:-2, 2:]
    result: Floats = np.hypot(across, down)
    return result
