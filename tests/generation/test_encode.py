import hashlib
import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from contracts import InvalidInputError, Placement
from generation import (
    FILE_FORMATS,
    ProceduralBackend,
    Renderer,
    decode_photo,
    encode,
    file_format,
    specs_of,
)
from tests.generation.studio import PROMPTS, cutout, encoded, photo_pixels, product

# Pixels by formula, made the same in another process; large enough for several tiles and slices.
PIXELS = (
    "np.indices((360, 1300, 3)).sum(axis=0).astype(np.uint8) ^ (np.indices((360, 1300, 3))[0] // 3).astype(np.uint8)"
)
SCRIPT = (
    "import hashlib, sys, numpy as np\nfrom generation import encode\n"
    f"print(hashlib.sha256(encode({PIXELS}, sys.argv[1])).hexdigest())"
)


@pytest.mark.parametrize("name", FILE_FORMATS)
def test_equal_pixels_give_equal_bytes_whatever_the_threads(name: str) -> None:
    here = hashlib.sha256(encode(eval(PIXELS, {"np": np}), name)).hexdigest()
    for threads in ("1", "7"):
        settings = {"OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        environment = {**os.environ, **settings, "PYTHONPATH": os.getcwd()}
        command = [sys.executable, "-c", SCRIPT, name]
        if threads == "1":
            # A process that may use one core only: an encoder that counts cores would choose other tiles.
            command = ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        assert ended.stdout.strip() == here


@pytest.mark.parametrize("name", FILE_FORMATS)
def test_a_file_is_of_its_format_and_carries_nothing_but_pixels(name: str) -> None:
    picture = photo_pixels(300, 200)
    with Image.open(io.BytesIO(encode(picture, name))) as opened:
        assert opened.get_format_mimetype() == file_format(name).content_type
        assert opened.size == (300, 200)
        assert not opened.getexif()
        assert opened.info.keys() & {"exif", "xmp", "icc_profile", "comment"} <= set()
        away = np.asarray(opened.convert("RGB")).astype(float) - picture
    assert 10 * np.log10(255**2 / np.mean(away**2)) > 34


@pytest.mark.parametrize("name", FILE_FORMATS)
def test_creatives_are_files_of_their_placements_format(name: str) -> None:
    slot = Placement("tile", 160, 160, format=name)
    specs = specs_of(product(), "ab" * 32, PROMPTS[:1], [slot], ProceduralBackend())
    assert all(spec.recipe.endswith(f"+{file_format(name).recipe}") for spec in specs)
    renderer = Renderer(ProceduralBackend(), attempts=1)
    made = [
        *renderer.originals(decode_photo(encoded(photo_pixels())), specs[:1]),
        *renderer.painted(cutout(), specs[1:]),
    ]
    assert len(made) == len(specs)
    for creative in made:
        with Image.open(io.BytesIO(creative.data)) as opened:
            assert opened.get_format_mimetype() == file_format(name).content_type


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(InvalidInputError, match="'gif' is unknown: use one of jpeg, webp, avif"):
        encode(photo_pixels(), "gif")


def test_jpeg_is_what_a_placement_gets_that_names_none() -> None:
    assert Placement("tile", 32, 32).format == "jpeg"
