"""Product photos: bytes in, upright 8-bit RGB or RGBA out, with limits checked before anything is decoded."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from contracts import InvalidInputError
from generation.arrays import Pixels

MAX_PIXELS = 40_000_000
MIN_SIDE = 32
MAX_BYTES = 64 << 20
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_BYTE = 255
_WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "F")


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded product photo: ``rgb`` u8[h, w, 3], ``alpha`` u8[h, w] or None, SHA-256 (hex) of its bytes."""

    rgb: Pixels
    alpha: Pixels | None
    sha256: str


class PhotoError(InvalidInputError):
    """A photo cannot be had or used: ``reason`` is a short code."""

    def __init__(self, message: str, reason: str) -> None:
        """Keep the code beside the sentence."""
        super().__init__(message)
        self.reason = reason


def read_photo_bytes(uri: str, base: Path) -> bytes:
    """The bytes of a photo at a path (relative to ``base``) or ``file:`` URI.

    Raises:
        PhotoError: ``no_image`` (missing, or a URI of another scheme) or ``bad_image`` (too large).
    """
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        message = f"image_uri {uri!r} is no path and no URI ({error})"
        raise PhotoError(message, "no_image") from error
    if "\0" in unquote(uri):
        message = f"image_uri {uri!r} holds a NUL character, which no path can"
        raise PhotoError(message, "no_image")
    if parts.scheme not in {"", "file"}:
        message = f"image_uri {uri!r}: scheme {parts.scheme!r} is not supported: use a path or file, http, https, gs"
        raise PhotoError(message, "no_image")
    path = base / (unquote(parts.path) if parts.scheme else uri)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            message = f"image {uri!r} has {size} bytes, the limit is {MAX_BYTES}"
            raise PhotoError(message, "bad_image")
        return path.read_bytes()
    except OSError as error:
        message = f"image {uri!r} cannot be read ({error.strerror}): check image_uri"
        raise PhotoError(message, "no_image") from error


def decode_photo(data: bytes) -> Photo:
    """Decode JPEG, PNG, WebP, TIFF, BMP or GIF; turns by EXIF, converts CMYK, palette, grey and 16-bit.

    Raises:
        InvalidInputError: not such an image, damaged, animated, smaller than ``MIN_SIDE`` on a side, or of more
            than ``MAX_PIXELS`` pixels (judged by its header, before decoding).
    """
    try:
        with warnings.catch_warnings():
            # Pillow only warns of bombs at the size where we refuse; our own limit below is lower.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check(image)
                image.load()
                upright = ImageOps.exif_transpose(image)
                rgb, alpha = _to_8_bit(upright)
    except Image.DecompressionBombError as error:
        message = f"image has more than {MAX_PIXELS} pixels: {error}"
        raise InvalidInputError(message) from error
    except UnidentifiedImageError as error:
        looks = "text, such as a page or an SVG drawing" if data.lstrip()[:1] == b"<" else "no known format"
        message = f"not a photo: its {len(data)} bytes are {looks}"
        raise InvalidInputError(message) from error
    except InvalidInputError:
        raise
    except Exception as error:
        # Pillow's plugins raise nearly anything on damaged files (TypeError, struct.error, ...): one bad photo
        # must not end the job of all the others.
        message = f"image is damaged: {error}"
        raise InvalidInputError(message) from error
    return Photo(rgb, alpha, hashlib.sha256(data).hexdigest())


def _check(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        message = f"image has {width} × {height} pixels, the limit is {MAX_PIXELS}: scale it down"
        raise InvalidInputError(message)
    if min(width, height) < MIN_SIDE:
        message = f"image has {width} × {height} pixels, each side must have at least {MIN_SIDE}"
        raise InvalidInputError(message)
    if getattr(image, "n_frames", 1) > 1 and image.format == "GIF":
        message = "image is animated: give a still picture"
        raise InvalidInputError(message)


def _to_8_bit(image: Image.Image) -> tuple[Pixels, Pixels | None]:
    if image.mode in _WIDE_MODES:
        values = np.asarray(image, np.float64)
        top = 65535.0 if values.max() > _BYTE else 255.0
        grey = (values / top * 255 + 0.5).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2), None
    transparent = image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info
    if not transparent:
        return np.array(image.convert("RGB")), None
    pixels = np.array(image.convert("RGBA"))
    alpha = pixels[..., 3]
    return np.ascontiguousarray(pixels[..., :3]), None if bool((alpha == alpha.max()).all()) else alpha.copy()
