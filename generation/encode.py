"""Pictures as files: JPEG, WebP or AVIF with fixed settings, so that equal pixels give equal bytes."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from PIL import Image

from contracts import InvalidInputError
from generation.arrays import Pixels


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format of pictures: how files are named and served, what recipes call it, how Pillow writes it."""

    suffix: str
    content_type: str
    recipe: str
    writer: str
    options: Mapping[str, Any]


# Colour is kept at full size where a format can: along a product's edges halving it costs more than it saves. How the
# qualities were chosen is in docs/generate.md, "Files".
FILE_FORMATS: Mapping[str, FileFormat] = MappingProxyType(
    {
        "jpeg": FileFormat(
            "jpg",
            "image/jpeg",
            "jpeg84/1",
            "JPEG",
            MappingProxyType({"quality": 84, "subsampling": "4:4:4", "optimize": False}),
        ),
        "webp": FileFormat(
            "webp", "image/webp", "webp90/1", "WEBP", MappingProxyType({"quality": 90, "method": 4, "exact": False})
        ),
        # One thread, no tiles by core count: what an AVIF holds must not depend on the machine.
        "avif": FileFormat(
            "avif",
            "image/avif",
            "avif72/1",
            "AVIF",
            MappingProxyType(
                {"quality": 72, "speed": 7, "subsampling": "4:4:4", "max_threads": 1, "autotiling": False}
            ),
        ),
    }
)


def file_format(name: str) -> FileFormat:
    """The format of that name.

    Raises:
        InvalidInputError: if there is none.
    """
    if name not in FILE_FORMATS:
        message = f"picture format {name!r} is unknown: use one of {', '.join(FILE_FORMATS)}"
        raise InvalidInputError(message)
    return FILE_FORMATS[name]


def encode(picture: Pixels, name: str) -> bytes:
    """A picture u8[h, w, 3] as a file of a format, without metadata.

    Raises:
        InvalidInputError: if the format is unknown.
    """
    form = file_format(name)
    out = io.BytesIO()
    Image.fromarray(picture).save(out, form.writer, **form.options)
    return out.getvalue()
