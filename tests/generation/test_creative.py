import io
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from PIL import Image

from generation import ANCHORS, Photo, Placed, ProceduralBackend, Prompt, Renderer, RenderRequest, Verdict, specs_of
from generation.arrays import Pixels
from tests.generation.studio import PROMPTS, SLOTS, cutout, photo_pixels, product

PAINTED = tuple(s for s in specs_of(product(), "ab" * 32, PROMPTS, SLOTS, ProceduralBackend()) if not s.is_original)


class PlainBackend:
    """Fills the slot with a grey drawn from the seed, and remembers its batches."""

    name = "plain"
    recipe = "plain/1"

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def check(self, prompt: Prompt) -> None:
        pass

    def render(self, requests: Sequence[RenderRequest]) -> list[Pixels]:
        self.batches.append([request.seed for request in requests])
        return [np.full(r.placed.rgb.shape, r.seed % 256, np.uint8) for r in requests]


class PickyJudge:
    """Refuses the first ``times`` pictures of each slot."""

    def __init__(self, times: int) -> None:
        self._left: dict[tuple[int, ...], int] = {}
        self._times = times

    def __call__(self, picture: Pixels, placed: Placed, text: str) -> Verdict:
        left = self._left.setdefault(picture.shape, self._times)
        self._left[picture.shape] = left - 1
        return Verdict(("picky",) if left > 0 else (), MappingProxyType({"left": float(left)}))


def size(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        return image.size


def test_every_spec_gets_its_picture() -> None:
    creatives = list(Renderer(ProceduralBackend(), batch=3).painted(cutout(), PAINTED))
    assert {c.spec.creative_id for c in creatives} == {s.creative_id for s in PAINTED}
    assert all(size(c.data) == (c.spec.width, c.spec.height) for c in creatives)
    assert not any(c.flagged for c in creatives)


def test_making_again_gives_the_same_bytes() -> None:
    first = {c.spec.creative_id: c.data for c in Renderer(ProceduralBackend(), batch=1).painted(cutout(), PAINTED)}
    again = {c.spec.creative_id: c.data for c in Renderer(ProceduralBackend(), batch=6).painted(cutout(), PAINTED)}
    assert first == again


def test_a_refused_picture_is_tried_again_from_another_seed() -> None:
    backend = PlainBackend()
    creatives = list(Renderer(backend, batch=8, judge=PickyJudge(1)).painted(cutout(), PAINTED))
    assert len(creatives) == len(PAINTED)
    assert sorted(c.attempt for c in creatives) == [0] * 3 + [1] * 3
    assert not any(c.flagged for c in creatives)
    assert len(backend.batches) == 2
    assert not set(backend.batches[0]) & set(backend.batches[1])


def test_a_picture_that_never_passes_is_kept_and_flagged() -> None:
    creatives = list(Renderer(PlainBackend(), attempts=3, judge=PickyJudge(99)).painted(cutout(), PAINTED[:1]))
    (creative,) = creatives
    assert creative.flagged
    assert creative.attempt == 2
    assert creative.verdict.reasons == ("picky",)


def test_originals_show_the_photo() -> None:
    originals = [s for s in specs_of(product(), "ab" * 32, PROMPTS, SLOTS, ProceduralBackend()) if s.is_original]
    creatives = list(Renderer(PlainBackend()).originals(Photo(photo_pixels(), None, "0" * 64), originals))
    assert [size(c.data) for c in creatives] == [(s.width, s.height) for s in SLOTS]
    assert all(c.verdict.passed for c in creatives)


def test_prompts_with_anchors_stand_the_product_elsewhere() -> None:
    prompts = [replace(PROMPTS[0], arm=anchor, tags={**PROMPTS[0].tags, "anchor": anchor}) for anchor in ANCHORS]
    specs = [s for s in specs_of(product(), "ab" * 32, prompts, SLOTS[:1], PlainBackend()) if not s.is_original]
    seen: dict[str, Placed] = {}

    def look(picture: Pixels, placed: Placed, text: str) -> Verdict:
        seen[specs[len(seen)].arm] = placed
        return Verdict((), MappingProxyType({}))

    list(Renderer(PlainBackend(), judge=look).painted(cutout(), specs))
    middles = [float(np.flatnonzero(seen[anchor].alpha.any(axis=0)).mean()) for anchor in ANCHORS]
    assert middles == sorted(middles)
    assert middles[2] - middles[0] > 0.2 * SLOTS[0].width
