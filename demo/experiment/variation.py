"""Whether the variations were controlled: pictures of one product that differ in one factor, compared.

Two things should hold. The product's pixels are the same in all of them, and a factor changes the part of the picture
that it is about. Distances are mean absolute differences of RGB (of 255) over what is background in both, of pictures
shrunk to 64 pixels, so that tone and layout count and grain does not. A picture painted again from another seed
says how far two of the same prompt are apart.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from beam_pipelines.generate.manifest import ManifestRow
from demo.experiment.rates import levels_of
from generation import Placed

# JPEG codes 16 × 16 pixels at a time (colour at half the size); its decoder smooths colour over 2 pixels more.
_BLOCK, _TRIM = 16, 2
_SMALL = 64
_ABOVE, _BELOW = 0.40, 0.86
AGAIN = "another seed"

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Variation:
    """Pairs of pictures that differ in ``factor`` alone: their mean distance, whole and in two parts of the slot.

    ``above`` is the upper 40 % of the slot, ``below`` the lowest 14 %, where there is nothing but ground.
    """

    factor: str
    pairs: int
    whole: float
    above: float
    below: float


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found: pairs by factor, and how product pixels compare over all pictures of a product and slot."""

    variations: tuple[Variation, ...]
    pictures: int
    product_pixels: int
    largest_difference: int


@dataclass(frozen=True, slots=True)
class Subject:
    """One product in one slot: where it stands, its pictures' rows and files, and one of them painted again.

    ``again`` is (file, file): a picture and the same prompt's from another seed.
    """

    placed: Placed
    rows: tuple[ManifestRow, ...]
    files: tuple[bytes, ...]
    again: tuple[bytes, bytes]


def look_at(subjects: Iterable[Subject], factors: Sequence[str]) -> Looked:
    """Compare every subject's pictures, pair by pair and pixel by pixel."""
    found: dict[str, list[tuple[float, float, float]]] = {factor: [] for factor in (AGAIN, *factors)}
    pictures = pixels = largest = 0
    for subject in subjects:
        decoded = [_decoded(data) for data in subject.files]
        pictures += len(decoded)
        core = product_core(subject.placed)
        pixels += int(core.sum())
        largest = max(largest, _spread(decoded, core))
        background = _background(subject.placed)
        small = [_small(picture) for picture in decoded]
        for factor, one, other in pairs_of([levels_of(row) for row in subject.rows], factors):
            found[factor].append(_distance(small[one], small[other], background))
        first, second = (_small(_decoded(data)) for data in subject.again)
        found[AGAIN].append(_distance(first, second, background))
    variations = tuple(_mean(factor, distances) for factor, distances in found.items() if distances)
    return Looked(variations, pictures, pixels, largest)


def pairs_of(levels: Sequence[Mapping[str, str]], factors: Sequence[str]) -> list[tuple[str, int, int]]:
    """(factor, place, place) of every two pictures whose levels differ in that one factor."""
    pairs = []
    for one, other in combinations(range(len(levels)), 2):
        differing = [factor for factor in factors if levels[one].get(factor) != levels[other].get(factor)]
        if len(differing) == 1:
            pairs.append((differing[0], one, other))
    return pairs


def product_core(placed: Placed) -> NDArray[np.bool_]:
    """bool[H, W]: the product's pixels whose JPEG blocks hold nothing but opaque product."""
    height, width = placed.alpha.shape
    rows, columns = height // _BLOCK, width // _BLOCK
    opaque = placed.alpha[: rows * _BLOCK, : columns * _BLOCK] >= 1
    whole = opaque.reshape(rows, _BLOCK, columns, _BLOCK).all(axis=(1, 3))
    tile = np.zeros((_BLOCK, _BLOCK), bool)
    tile[_TRIM:-_TRIM, _TRIM:-_TRIM] = True
    core = np.zeros((height, width), bool)
    core[: rows * _BLOCK, : columns * _BLOCK] = np.kron(whole, tile)
    return core


def _spread(pictures: Sequence[Bytes], core: NDArray[np.bool_]) -> int:
    if not core.any():
        return 0
    inside = np.stack([picture[core] for picture in pictures]).astype(np.int16)
    return int((inside.max(axis=0) - inside.min(axis=0)).max())


def _decoded(data: bytes) -> Bytes:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _small(picture: Bytes) -> Floats:
    return np.asarray(Image.fromarray(picture).resize((_SMALL, _SMALL), Image.Resampling.BOX), np.float64)


def _background(placed: Placed) -> NDArray[np.bool_]:
    alpha = Image.fromarray(placed.alpha).resize((_SMALL, _SMALL), Image.Resampling.BOX)
    return np.asarray(alpha) <= 0


def _distance(one: Floats, other: Floats, background: NDArray[np.bool_]) -> tuple[float, float, float]:
    apart = np.abs(one - other).mean(axis=2)
    parts = []
    for rows in (slice(None), slice(0, round(_ABOVE * _SMALL)), slice(round(_BELOW * _SMALL), None)):
        where = background[rows]
        parts.append(float(apart[rows][where].mean()) if where.any() else 0.0)
    return (parts[0], parts[1], parts[2])


def _mean(factor: str, distances: Sequence[tuple[float, float, float]]) -> Variation:
    whole, above, below = np.mean(distances, axis=0)
    return Variation(factor, len(distances), float(whole), float(above), float(below))
