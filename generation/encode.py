"""Pictures as files: JPEG with fixed settings, so that equal pixels give equal bytes."""

import io

from PIL import Image

from generation.arrays import Pixels

JPEG_QUALITY = 88
ENCODE_RECIPE = f"jpeg{JPEG_QUALITY}/1"
SUFFIX = "jpg"
CONTENT_TYPE = "image/jpeg"


def encode_jpeg(picture: Pixels) -> bytes:
    """JPEG of a picture u8[h, w, 3]: baseline, 4:2:0, no metadata."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0", optimize=False)
    return out.getvalue()
