import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts import InvalidInputError
from generation import decode_photo, read_photo_bytes
from tests.generation.studio import encoded, photo_pixels


def test_plain_formats_come_through_unchanged() -> None:
    pixels = photo_pixels(64, 48)
    photo = decode_photo(encoded(pixels))
    assert (photo.rgb == pixels).all()
    assert photo.alpha is None
    assert len(photo.sha256) == 64


@pytest.mark.parametrize("mode", ["CMYK", "P", "L", "1"])
def test_other_colour_modes_are_converted(mode: str) -> None:
    image = Image.fromarray(photo_pixels(64, 48)).convert(mode)
    out = io.BytesIO()
    image.save(out, "TIFF")
    photo = decode_photo(out.getvalue())
    assert photo.rgb.shape == (48, 64, 3)
    assert photo.rgb.dtype == np.uint8
    assert (photo.rgb == np.asarray(image.convert("RGB"))).all()


def test_sixteen_bit_grey_keeps_its_range() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    photo = decode_photo(encoded(ramp, "PNG"))
    assert photo.rgb.min() == 0
    assert photo.rgb.max() == 255
    assert abs(float(photo.rgb.mean()) - 127.5) < 1


def test_exif_rotation_is_applied() -> None:
    pixels = photo_pixels(80, 40)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = decode_photo(encoded(pixels, "PNG", exif=exif))
    assert (photo.rgb == np.rot90(pixels, -1)).all()


def test_alpha_is_kept_and_full_alpha_dropped() -> None:
    rgba = np.dstack([photo_pixels(40, 40), np.full((40, 40), 255, np.uint8)])
    assert decode_photo(encoded(rgba)).alpha is None
    rgba[:10, :, 3] = 0
    alpha = decode_photo(encoded(rgba)).alpha
    assert alpha is not None
    assert (alpha == rgba[..., 3]).all()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def tiff_with_an_empty_second_page() -> bytes:
    """A TIFF whose directory names a next one without any entry: Pillow raises TypeError for it."""
    data = bytearray(encoded(photo_pixels(48, 48), "TIFF"))
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    struct.pack_into("<I", data, directory + 2 + 12 * entries, len(data))
    return bytes(data) + bytes(6)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a photo"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a photo"),
        (b"GIF89a", "not a photo|damaged"),
        (encoded(photo_pixels(200, 200), "JPEG")[:1500], "damaged"),
        (encoded(photo_pixels(200, 200), "PNG")[:200], "damaged"),
        (encoded(np.zeros((1, 1, 3), np.uint8)), "at least 32"),
        (tiff_with_an_empty_second_page(), "damaged"),
        (png_header(20_000, 20_000), "the limit is|more than"),
        (png_header(9_000, 9_000), "81000000|the limit is"),
    ],
)
def test_bad_images_are_refused_with_a_reason(data: bytes, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        decode_photo(data)


def test_an_animation_is_refused() -> None:
    frames = [Image.fromarray(photo_pixels(40, 40, (shade, 10, 10))) for shade in (0, 120, 250)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidInputError, match="animated"):
        decode_photo(out.getvalue())


def test_reading_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(b"x")
    assert read_photo_bytes("a b.png", tmp_path) == b"x"
    assert read_photo_bytes((tmp_path / "a b.png").as_uri(), Path("/nowhere")) == b"x"
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_photo_bytes("missing.png", tmp_path)
    with pytest.raises(InvalidInputError, match="not supported"):
        read_photo_bytes("ftp://x/y.png", tmp_path)
    for uri in ("a\0b.png", "file:///a%00b.png", "//[x/y.png"):
        with pytest.raises(InvalidInputError, match="image_uri"):
            read_photo_bytes(uri, tmp_path)
