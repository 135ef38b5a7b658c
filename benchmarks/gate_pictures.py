"""Good creatives of the demo's products, each with the defects made on it, measured by the gate in processes."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks import gate_defects
from contracts import Placement, Product, SetupError
from generation import (
    Placed,
    ProceduralBackend,
    RembgSegmenter,
    RenderRequest,
    composite,
    cut_out,
    decode_photo,
    judge_picture,
    place,
    read_catalogue,
    read_photo_bytes,
    read_placements,
    read_prompts,
    resolved,
)
from generation.arrays import Pixels
from generation.quality_growth import Patch, patches
from generation.quality_view import close_up
from generation.recut import RECUT_LIMITS, recut

SHARES = (0.05, 0.1, 0.2, 0.35, 0.5)
DEFECTS = ("haloed", "shifted", "flat", "recoloured")
GOOD = "good"
GROWN = "grown"
_SCALES = (1.0, 0.75, 1.25)
_FOLDER = Path(__file__).parents[1] / "demo/catalogue"
_WEIGHTS = Path(__file__).parents[1] / ".backdrop/weights/u2netp.onnx"


@dataclass(frozen=True, slots=True)
class Judged:
    """What the gate made of one picture.

    ``defect`` is ``GOOD``, one of ``DEFECTS`` or ``GROWN`` with its ``share`` and ``kind``; ``patches`` what growth
    was judged by; ``recut`` the numbers of cutting out again (none: it was not).
    """

    item: str
    where: str
    defect: str
    share: float
    kind: str
    reasons: tuple[str, ...]
    numbers: Mapping[str, float]
    patches: tuple[Patch, ...]
    recut: Mapping[str, float]

    @property
    def recut_refused(self) -> bool:
        """Whether a number of cutting out again breaks its limit."""
        return any(not low <= self.recut[n] <= high for n, (low, high) in RECUT_LIMITS.items() if n in self.recut)


def halves() -> tuple[tuple[Product, ...], tuple[Product, ...]]:
    """The demo's products in order of the hash of their ids: those that limits are tuned on, those held out."""
    book = read_prompts(_FOLDER / "prompts.yaml")
    products = read_catalogue(_FOLDER / "products.parquet", list(book.prompts)).products
    ordered = sorted(products, key=lambda product: hashlib.sha256(product.item_id.encode()).hexdigest())
    return tuple(ordered[: len(ordered) // 2]), tuple(ordered[len(ordered) // 2 :])


def judged(products: Sequence[Product], *, prompts: int, details: bool, workers: int = 2) -> Iterator[Judged]:
    """Every product in every placement with ``prompts`` prompts, good and with each defect.

    The good and the grown ones of the first prompt are cut out again; ``details``: keep what growth was judged by.

    Raises:
        SetupError: if the segmentation weights are missing.
    """
    if not _WEIGHTS.is_file():
        message = f"segmentation weights {_WEIGHTS} are missing: run 'make setup'"
        raise SetupError(message)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for found in pool.map(partial(_of_product, prompts=prompts, details=details), products):
            yield from found


def _of_product(product: Product, *, prompts: int, details: bool) -> list[Judged]:
    segmenter = RembgSegmenter(_WEIGHTS)
    cutout = cut_out(decode_photo(read_photo_bytes(product.image_uri, _FOLDER)), segmenter)
    texts = [resolved(prompt, product) for prompt in read_prompts(_FOLDER / "prompts.yaml").of(product.category)]
    backend = ProceduralBackend()
    found = []
    for number, slot in enumerate(read_placements(_FOLDER / "placements.yaml")):
        for turn in range(prompts):
            prompt = texts[(number + turn) % len(texts)]
            sized = _sized(slot, _SCALES[(number + turn) % len(_SCALES)])
            rng = np.random.default_rng([number, turn, *product.item_id.encode()])
            placed = place(cutout, sized)
            painted = backend.render([RenderRequest(placed, prompt, int(rng.integers(2**31)))])[0]
            good = composite(painted, placed)
            for defect, share, kind, picture in _versions(good, placed, rng):
                verdict = judge_picture(picture, placed)
                view = close_up(picture, placed) if details else None
                asked = not turn and defect in {GOOD, GROWN}
                found.append(
                    Judged(
                        product.item_id,
                        f"{slot.placement} {prompt.arm}",
                        defect,
                        share,
                        kind,
                        verdict.reasons,
                        dict(verdict.numbers),
                        () if view is None else patches(view),
                        recut(picture, placed, segmenter) if asked else {},
                    )
                )
    return found


def _versions(good: Pixels, placed: Placed, rng: np.random.Generator) -> Iterator[tuple[str, float, str, Pixels]]:
    yield GOOD, 0.0, "", good
    for name in DEFECTS:
        try:
            yield name, 0.0, "", getattr(gate_defects, name)(good, placed, rng)
        except gate_defects.NoRoomError:
            continue
    for share in SHARES:
        # The kind is drawn before it is known whether there is room, so none is preferred beyond that.
        for kind in rng.permutation(list(gate_defects.GROWTHS)):
            try:
                yield GROWN, share, str(kind), gate_defects.grown(share, str(kind))(good, placed, rng)
            except gate_defects.NoRoomError:
                continue
            break


def _sized(slot: Placement, scale: float) -> Placement:
    return Placement(slot.placement, round(slot.width * scale), round(slot.height * scale))
