"""From a cut-out and specs to finished creatives: place, paint, paste back, judge, try again, encode."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from contracts import CreativeSpec
from generation.arrays import Pixels
from generation.backend import Backend, RenderRequest
from generation.composite import composite
from generation.cutout import CutOut
from generation.encode import encode
from generation.gate import Gate
from generation.layout import Placed, place
from generation.original import original_picture
from generation.photo import Photo
from generation.quality import Verdict
from generation.specs import placement_of, prompt_of

ATTEMPTS = 3
_UNJUDGED = Verdict((), MappingProxyType({}))

# Of a picture, its placed product and the prompt's text.
Judge = Callable[[Pixels, Placed, str], Verdict]


@dataclass(frozen=True, slots=True)
class Creative:
    """A finished picture: its spec, the file's bytes, the gate's verdict and the attempt (0 first) it is of."""

    spec: CreativeSpec
    data: bytes
    verdict: Verdict
    attempt: int

    @property
    def flagged(self) -> bool:
        """Whether the gate refused every attempt: kept for a person to look at, not for shoppers."""
        return not self.verdict.passed


@dataclass(frozen=True, slots=True)
class Renderer:
    """Makes creatives with a backend; ``attempts`` seeds are tried before a picture is flagged."""

    backend: Backend
    attempts: int = ATTEMPTS
    batch: int = 4
    judge: Judge = field(default_factory=Gate)

    def originals(self, photo: Photo, specs: Sequence[CreativeSpec]) -> Iterator[Creative]:
        """The untouched photo for each spec of the arm ``original``."""
        for spec in specs:
            yield Creative(spec, encode(original_picture(photo, placement_of(spec)), spec.format), _UNJUDGED, 0)

    def painted(self, cutout: CutOut, specs: Sequence[CreativeSpec]) -> Iterator[Creative]:
        """A painted creative for each spec, in batches of ``batch``; the product is placed once a slot."""
        placed: dict[str, Placed] = {}
        for spec in specs:
            if spec.placement not in placed:
                placed[spec.placement] = place(cutout, placement_of(spec))
        for start in range(0, len(specs), self.batch):
            yield from self._batch(specs[start : start + self.batch], placed)

    def _batch(self, specs: Sequence[CreativeSpec], placed: Mapping[str, Placed]) -> Iterator[Creative]:
        open_specs = list(specs)
        for attempt in range(self.attempts):
            requests = [RenderRequest(placed[s.placement], prompt_of(s), s.seed(attempt)) for s in open_specs]
            rejected = []
            for spec, background in zip(open_specs, self.backend.render(requests), strict=True):
                picture = composite(background, placed[spec.placement])
                verdict = self.judge(picture, placed[spec.placement], spec.text)
                if verdict.passed or attempt == self.attempts - 1:
                    yield Creative(spec, encode(picture, spec.format), verdict, attempt)
                else:
                    rejected.append(spec)
            open_specs = rejected
            if not open_specs:
                return
