"""Cut the product out of its photo: an existing alpha channel as it is, else a segmenter's mask, refined and judged."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image
from scipy import ndimage

from contracts import InvalidInputError
from generation.arrays import Floats, Pixels, shares
from generation.backdrop import seen_through, supported
from generation.matte import decontaminate, refine
from generation.photo import Photo
from generation.segmenter import U2NETP, SegmenterModel

_REFINE_RECIPE = "refine/3"
_WORKING_SIDE = 1_280
_MIN_COVER, _MAX_COVER = 0.01, 0.92
_MAX_BORDER = 0.25
_MAX_UNSURE = 0.25
_MAX_SIDE = 0.85
_MAX_APART = 0.30
_LARGE = 0.25
_COARSE_SIDE = 256
_MAX_SEEN_THROUGH = 0.35
_OPEN = 0.05
_EVEN = 0.5
_UNSURE = (0.2, 0.8)


@dataclass(frozen=True, slots=True)
class CutOut:
    """A product without its background, cropped: ``rgb`` u8[h, w, 3], ``alpha`` f32[h, w] 0 to 1.

    ``sha256`` is of the photo's bytes; ``backdrop`` the photo's mean border colour, 0 to 255.
    """

    rgb: Pixels
    alpha: Floats
    sha256: str
    backdrop: tuple[int, int, int]


class Segmenter(Protocol):
    """Tells product from background."""

    def mask(self, rgb: Pixels) -> Floats:
        """A coarse mask f32[h, w], 0 to 1, of a photo u8[h, w, 3]."""
        ...


class MaskError(InvalidInputError):
    """The mask cannot be a product: ``reason`` is a short code."""

    def __init__(self, message: str, reason: str) -> None:
        """Keep the code beside the sentence."""
        super().__init__(message)
        self.reason = reason


def cutout_recipe(model: SegmenterModel) -> str:
    """What a creative's recipe says of its cut-out: the network, its weights, and the version of what follows."""
    return f"{model.recipe}+{_REFINE_RECIPE}"


CUTOUT_RECIPE = cutout_recipe(U2NETP)


def cut_out(photo: Photo, segmenter: Segmenter) -> CutOut:
    """Cut out, judge, refine and crop; large photos are worked on at ``_WORKING_SIDE`` pixels.

    Raises:
        MaskError: ``mask_empty``, ``mask_full``, ``touches_border``, ``several_objects``, ``mask_unsure`` or
            ``see_through``.
    """
    rgb, alpha = _at_working_size(photo)
    if alpha is None:
        alpha = matte_of(rgb, segmenter)
        clean = decontaminate(rgb, alpha)
    else:
        judge(alpha, own=True)
        clean = rgb
    box = _box(alpha)
    return CutOut(
        np.ascontiguousarray(clean[box]), np.ascontiguousarray(alpha[box]), photo.sha256, border_colour(photo.rgb)
    )


def matte_of(rgb: Pixels, segmenter: Segmenter) -> Floats:
    """Alpha f32[h, w] of the product in a photo u8[h, w, 3].

    Raises:
        MaskError: as ``cut_out``.
    """
    mask = supported(rgb, segmenter.mask(rgb))
    judge(mask)
    alpha = refine(rgb, mask)
    _refuse_glass(rgb, alpha)
    return alpha


def judge(mask: Floats, *, own: bool = False) -> None:
    """Refuse a mask f32[h, w] that cannot be one product; ``own``: it came with the photo, so only its size counts.

    Raises:
        MaskError: with the number and its limit.
    """
    cover = float((mask > _EVEN).mean())
    if cover < _MIN_COVER:
        message = f"the product covers {cover:.1%} of the photo, at least {_MIN_COVER:.0%} is needed: is there one?"
        raise MaskError(message, "mask_empty")
    if own:
        return
    if cover > _MAX_COVER:
        message = f"the product covers {cover:.1%} of the photo, at most {_MAX_COVER:.0%} can be told apart"
        raise MaskError(message, "mask_full")
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    touching = float((rim > _EVEN).mean())
    if touching > _MAX_BORDER:
        message = f"the product touches {touching:.0%} of the photo's border, the limit is {_MAX_BORDER:.0%}: it is cut"
        raise MaskError(message, "touches_border")
    sides = {"top": mask[0], "bottom": mask[-1], "left": mask[:, 0], "right": mask[:, -1]}
    name, cut = max(((name, float((side > _EVEN).mean())) for name, side in sides.items()), key=lambda each: each[1])
    if cut > _MAX_SIDE:
        message = f"the product touches {cut:.0%} of the photo's {name} side, the limit is {_MAX_SIDE:.0%}: it is cut"
        raise MaskError(message, "touches_border")
    away = apart(mask)
    if away > _MAX_APART:
        message = f"another object is {away:.2f} product sizes away, the limit is {_MAX_APART}: show one product"
        raise MaskError(message, "several_objects")
    unsure = float(((mask > _UNSURE[0]) & (mask < _UNSURE[1])).mean()) / cover
    if unsure > _MAX_UNSURE:
        message = f"the mask is unsure on {unsure:.0%} of the product's area, the limit is {_MAX_UNSURE:.0%}"
        raise MaskError(message, "mask_unsure")


def apart(mask: Floats) -> float:
    """How far a mask's farthest large part lies from its largest, in square roots of that one's area (0: one part)."""
    step = -(-max(mask.shape) // _COARSE_SIDE)
    labels, count = ndimage.label(mask[::step, ::step] > _EVEN)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    if count < 2:  # noqa: PLR2004
        return 0.0
    first = int(sizes.argmax()) + 1
    large = [number for number in range(1, count + 1) if number != first and sizes[number - 1] >= _LARGE * sizes.max()]
    if not large:
        return 0.0
    away = ndimage.distance_transform_edt(labels != first) / np.sqrt(sizes.max())
    return max(float(away[labels == number].min()) for number in large)


def _refuse_glass(rgb: Pixels, alpha: Floats) -> None:
    share = seen_through(rgb, alpha)
    if share > _MAX_SEEN_THROUGH:
        message = (
            f"the backdrop shows through {share:.0%} of the product, the limit is {_MAX_SEEN_THROUGH:.0%}: "
            "give a photo with an alpha channel"
        )
        raise MaskError(message, "see_through")


def border_colour(rgb: Pixels) -> tuple[int, int, int]:
    """Median colour of a photo's outermost pixels."""
    rim = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    red, green, blue = np.median(rim, axis=0).astype(int).tolist()
    return red, green, blue


def _at_working_size(photo: Photo) -> tuple[Pixels, Floats | None]:
    height, width = photo.rgb.shape[:2]
    alpha = None if photo.alpha is None else shares(photo.alpha)
    if max(height, width) <= _WORKING_SIDE:
        return photo.rgb, alpha
    scale = _WORKING_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    rgb = np.array(Image.fromarray(photo.rgb).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))
    if alpha is None:
        return rgb, None
    return rgb, np.array(Image.fromarray(alpha).resize(size, Image.Resampling.BOX))


def _box(alpha: Floats) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero((alpha > _OPEN).any(axis=1)), np.flatnonzero((alpha > _OPEN).any(axis=0))
    if not len(rows):
        message = "nothing of the product is left after cutting out"
        raise MaskError(message, "mask_empty")
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
