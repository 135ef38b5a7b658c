"""What files of each format lose of a product, and how well products are cut out, also on white."""

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks.report import Row
from contracts import SetupError
from generation import (
    FILE_FORMATS,
    CutOut,
    MaskError,
    Photo,
    Placed,
    ProceduralBackend,
    RembgSegmenter,
    RenderRequest,
    composite,
    cut_out,
    decode_photo,
    place,
    read_catalogue,
    read_photo_bytes,
    read_placements,
    read_prompts,
    refine,
    resolved,
)
from generation.arrays import Floats, Pixels
from generation.backdrop import supported
from generation.cutout import judge

PACKAGES = ("pillow", "rembg", "onnxruntime", "numpy", "scipy")

_ROOT = Path(__file__).parents[1]
_FOLDER = _ROOT / "demo/catalogue"
_WEIGHTS = _ROOT / ".backdrop/weights/u2netp.onnx"
_SLOTS = ("square", "feed")
_PRODUCTS = 10
_OUTLINE = 4
_HALVED = "4:2:0"
_SIDE, _WHITE, _NOISE, _QUALITY = 800, 253.0, 1.5, 90
_SHADE, _SHADOW = 6.0, 18.0
_EVEN = 0.5


def rows() -> Iterator[Row]:
    """The figures of files, then those of cut-outs."""
    if not _WEIGHTS.is_file():
        message = f"segmentation weights {_WEIGHTS} are missing: run 'make setup'"
        raise SetupError(message)
    segmenter = RembgSegmenter(_WEIGHTS)
    book = read_prompts(_FOLDER / "prompts.yaml")
    products = read_catalogue(_FOLDER / "products.parquet", book.prompts).products
    cutouts = [cut_out(decode_photo(read_photo_bytes(each.image_uri, _FOLDER)), segmenter) for each in products]
    slots = [slot for slot in read_placements(_FOLDER / "placements.yaml") if slot.placement in _SLOTS]
    pictures: list[tuple[Pixels, Placed]] = []
    for product, cutout in list(zip(products, cutouts, strict=True))[:: len(products) // _PRODUCTS]:
        prompts = book.of(product.category)
        for slot in slots:
            placed, prompt = place(cutout, slot), resolved(prompts[len(pictures) % len(prompts)], product)
            (painted,) = ProceduralBackend().render([RenderRequest(placed, prompt, len(pictures))])
            pictures.append((composite(painted, placed), placed))
    for name, options in _variants().items():
        yield _file(name, options, pictures)
    yield from _cut("the 100 photos", [*_photos(_FOLDER), *_photos(_FOLDER / "hundred")], segmenter)
    for shaded, backdrop in ((False, "plain white"), (True, "shaded white with a soft shadow")):
        shots = [_shot(cutout, np.random.default_rng(number), shaded=shaded) for number, cutout in enumerate(cutouts)]
        yield from _cut(backdrop, shots, segmenter)


def _variants() -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """The formats in use, marked, and what they were chosen among."""
    jpeg, webp, avif = (FILE_FORMATS[name] for name in ("jpeg", "webp", "avif"))
    return {
        "JPEG 88, halved colour": (jpeg.writer, {**jpeg.options, "quality": 88, "subsampling": _HALVED}),
        "JPEG 88, full colour": (jpeg.writer, {**jpeg.options, "quality": 88}),
        "JPEG 84, full colour (in use)": (jpeg.writer, jpeg.options),
        "WebP 84": (webp.writer, {**webp.options, "quality": 84}),
        "WebP 90 (in use)": (webp.writer, webp.options),
        "AVIF 72, halved colour": (avif.writer, {**avif.options, "subsampling": _HALVED}),
        "AVIF 65, full colour": (avif.writer, {**avif.options, "quality": 65}),
        "AVIF 72, full colour (in use)": (avif.writer, avif.options),
    }


def _file(name: str, how: tuple[str, Mapping[str, Any]], pictures: list[tuple[Pixels, Placed]]) -> Row:
    sizes, products, outlines = [], [], []
    begun = time.process_time()
    for picture, placed in pictures:
        data = _saved(picture, *how)
        with Image.open(io.BytesIO(data)) as file:
            back = np.asarray(file.convert("RGB"), np.float64)
        solid = placed.alpha >= 1.0
        near = ndimage.distance_transform_edt(solid) + ndimage.distance_transform_edt(~solid) <= _OUTLINE
        sizes.append(len(data) / 1024)
        products.append(_psnr(picture[solid], back[solid]))
        outlines.append(_psnr(picture[near], back[near]))
    spent_ms = (time.process_time() - begun) / len(pictures) * 1000
    note = (
        f"{np.mean(sizes):.1f} KiB; product mean {np.mean(products):.1f}, worst {min(products):.1f}; "
        f"outline worst {min(outlines):.1f}; {spent_ms:.0f} ms with measuring"
    )
    return Row(f"{name}: PSNR along the outline", float(np.mean(outlines)), "dB", note=note)


def _saved(picture: Pixels, writer: str, options: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, writer, **options)
    return out.getvalue()


def _psnr(one: Pixels, other: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(10 * np.log10(255**2 / np.mean((one - other) ** 2)))


def _photos(catalogue: Path) -> Iterator[tuple[Photo, Floats]]:
    """A catalogue's photos and what of them is the product, as rendered."""
    for path in sorted((catalogue / "masks").glob("*.png")):
        photo = decode_photo((catalogue / "photos" / f"{path.stem}.jpg").read_bytes())
        yield photo, np.asarray(Image.open(path), np.float32)


def _cut(name: str, shots: Sequence[tuple[Photo, Floats]], segmenter: RembgSegmenter) -> Iterator[Row]:
    """Photos whose alpha is known, cut out by the mask alone and with the backdrop's support."""
    for how, support in (("the mask alone", lambda _, mask: mask), ("supported", supported)):
        found = [_iou(partial(support, photo.rgb), photo, true, segmenter) for photo, true in shots]
        kept = [value for value in found if value is not None]
        note = f"worst of those cut out {min(kept):.3f}; {len(found) - len(kept)} of {len(found)} refused, counted as 0"
        yield Row(f"IoU on {name}, {how}", sum(kept) / len(found), "", note=note)


def _iou(support: Any, photo: Photo, true: Floats, segmenter: RembgSegmenter) -> float | None:
    mask = support(segmenter.mask(photo.rgb))
    try:
        judge(mask)
    except MaskError:
        return None
    found, known = refine(photo.rgb, mask) > _EVEN, true > _EVEN
    return float((found & known).sum() / (found | known).sum())


def _shot(cutout: CutOut, rng: np.random.Generator, *, shaded: bool) -> tuple[Photo, Floats]:
    height, width = cutout.alpha.shape
    scale = 0.7 * _SIDE / max(height, width)
    size = (round(width * scale), round(height * scale))
    left, top = (_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2
    alpha = np.zeros((_SIDE, _SIDE), np.float32)
    rgb = np.zeros((_SIDE, _SIDE, 3), np.float32)
    box = (slice(top, top + size[1]), slice(left, left + size[0]))
    alpha[box] = np.asarray(Image.fromarray(cutout.alpha).resize(size, Image.Resampling.BOX))
    rgb[box] = np.asarray(Image.fromarray(cutout.rgb).resize(size, Image.Resampling.BOX))
    white = np.full((_SIDE, _SIDE), _WHITE, np.float32)
    if shaded:
        white -= _SHADE * np.linspace(0, 1, _SIDE, dtype=np.float32)[:, None]
        feet = np.zeros_like(alpha)
        feet[top + size[1] - 20 : top + size[1] + 10, left : left + size[0]] = 1
        white -= _SHADOW * ndimage.gaussian_filter(feet, 14)
    shown = rgb * alpha[..., None] + white[..., None] * (1 - alpha[..., None])
    shown += rng.normal(0, _NOISE, shown.shape)
    data = _saved(shown.clip(0, 255).astype(np.uint8), "JPEG", {"quality": _QUALITY})
    return decode_photo(data), alpha
