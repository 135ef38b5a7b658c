"""Cut-outs as files: PNG with alpha, so that a product is cut out once, whatever is painted round it later."""

import hashlib
import io
import json

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from contracts import FormatError
from generation.arrays import shares
from generation.cutout import CutOut

_NOTE = "backdrop"
_LEVELS = 255
_FAST = 3


def cutout_name(image_sha256: str, recipe: str) -> str:
    """File name of the cut-out of a photo (SHA-256, hex) by a recipe."""
    return f"{image_sha256}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}.png"


def encode_cutout(cutout: CutOut) -> bytes:
    """PNG u8[h, w, 4]; alpha is rounded to 255 levels, opaque stays opaque and clear clear.

    Pictures are made of what ``decode_cutout`` reads, so that they do not depend on who cut out.
    """
    alpha = (cutout.alpha * _LEVELS + 0.5).clip(0, _LEVELS).astype(np.uint8)
    # Rounding up to opaque would put a blend of product and backdrop among the pixels that must not change.
    alpha[(alpha == _LEVELS) & (cutout.alpha < 1)] = _LEVELS - 1
    note = PngInfo()
    note.add_text(_NOTE, json.dumps({"sha256": cutout.sha256, "backdrop": [int(level) for level in cutout.backdrop]}))
    out = io.BytesIO()
    # A deflate level above 3 takes several times as long and saves little on photos.
    Image.fromarray(np.dstack([cutout.rgb, alpha])).save(out, "PNG", pnginfo=note, compress_level=_FAST)
    return out.getvalue()


def decode_cutout(data: bytes) -> CutOut:
    """Read what ``encode_cutout`` wrote.

    Raises:
        FormatError: if it is no such file.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if not isinstance(image, PngImageFile) or image.mode != "RGBA":
                message = f"a cut-out is {image.format} {image.mode}, not PNG RGBA: remove it, it is made again"
                raise FormatError(message)
            pixels = np.array(image)
            plain = json.loads(image.text[_NOTE])
        red, green, blue = plain["backdrop"]
        sha256 = str(plain["sha256"])
    except (OSError, SyntaxError, ValueError, KeyError, TypeError) as error:
        message = f"a cut-out of {len(data)} bytes cannot be read ({error!r}): remove it, it is made again"
        raise FormatError(message) from error
    colour = np.ascontiguousarray(pixels[..., :3])
    return CutOut(colour, shares(pixels[..., 3]), sha256, (int(red), int(green), int(blue)))
