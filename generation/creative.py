"""From a cut-out and specs to finished creatives: place, paint, paste back, judge, try again, encode."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from generation.specs import anchor_of, placement_of, prompt_of
from generation.steady import PaintError

ATTEMPTS = 3
_UNJUDGED = Verdict((), MappingProxyType({}))

# Of a picture, its placed product and the prompt's text.
Judge = Callable[[Pixels, Placed, str], Verdict]
# Backgrounds of requests, in order, or why there is none.
Paint = Callable[[Sequence[RenderRequest]], Sequence[Pixels | PaintError]]
# Hears what seconds were spent on: ``paint``, ``composite``, ``gate`` or ``encode``.
Spent = Callable[[str, float], None]


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
class Wanted:
    """A picture to be painted: its spec and its product, placed."""

    spec: CreativeSpec
    placed: Placed


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that could not be made."""

    spec: CreativeSpec
    error: PaintError


def _unheard(doing: str, seconds: float) -> None:
    """Nobody asks what time is spent on."""


@dataclass(frozen=True, slots=True)
class Finisher:
    """Makes creatives of backgrounds; ``attempts`` seeds are tried before a picture is flagged.

    ``batch`` pictures are painted at once; ``judge`` is the quality gate.
    """

    attempts: int = ATTEMPTS
    batch: int = 4
    judge: Judge = field(default_factory=Gate)
    spent: Spent = _unheard

    def finished(self, wanted: Sequence[Wanted], paint: Paint) -> Iterator[Creative | Failure]:
        """A creative for each picture wanted, or why there is none, as they are done.

        Those that the gate refuses are painted again together, after all others.
        """
        still = list(wanted)
        for attempt in range(self.attempts):
            refused: list[Wanted] = []
            for start in range(0, len(still), self.batch):
                part = still[start : start + self.batch]
                requests = [RenderRequest(each.placed, prompt_of(each.spec), each.spec.seed(attempt)) for each in part]
                with self._timed("paint"):
                    backgrounds = paint(requests)
                for each, background in zip(part, backgrounds, strict=True):
                    done = self._finish(each, background, attempt)
                    if done is None:
                        refused.append(each)
                    else:
                        yield done
            still = refused

    def _finish(self, wanted: Wanted, background: Pixels | PaintError, attempt: int) -> Creative | Failure | None:
        """None: refused, and there are seeds left."""
        if isinstance(background, PaintError):
            return Failure(wanted.spec, background)
        try:
            with self._timed("composite"):
                picture = composite(background, wanted.placed)
            with self._timed("gate"):
                verdict = self.judge(picture, wanted.placed, wanted.spec.text)
            if not verdict.passed and attempt < self.attempts - 1:
                return None
            with self._timed("encode"):
                return Creative(wanted.spec, encode(picture, wanted.spec.format), verdict, attempt)
        except Exception as error:
            # Whatever a model or an image library makes of one picture must not cost the others theirs.
            failure = PaintError.of(error)
            failure.__cause__ = error
            return Failure(wanted.spec, failure)

    @contextmanager
    def _timed(self, doing: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.spent(doing, time.perf_counter() - begun)


@dataclass(frozen=True, slots=True)
class Renderer:
    """Makes a product's creatives with a backend; ``attempts``, ``batch`` and ``judge`` as in ``Finisher``."""

    backend: Backend
    attempts: int = ATTEMPTS
    batch: int = 4
    judge: Judge = field(default_factory=Gate)

    def originals(self, photo: Photo, specs: Sequence[CreativeSpec]) -> Iterator[Creative]:
        """The untouched photo for each spec of the arm ``original``."""
        return originals(photo, specs)

    def painted(self, cutout: CutOut, specs: Sequence[CreativeSpec]) -> Iterator[Creative]:
        """A painted creative for each spec, in batches of ``batch``; the product is placed once a slot and anchor.

        Raises:
            PaintError: if one cannot be made; and what the backend raises.
        """
        finisher = Finisher(self.attempts, self.batch, self.judge)
        for done in finisher.finished(placed_once(cutout, specs), self.backend.render):
            if isinstance(done, Failure):
                raise done.error
            yield done


def originals(photo: Photo, specs: Sequence[CreativeSpec]) -> Iterator[Creative]:
    """The untouched photo for each spec of the arm ``original``."""
    for spec in specs:
        yield Creative(spec, encode(original_picture(photo, placement_of(spec)), spec.format), _UNJUDGED, 0)


def placed_once(cutout: CutOut, specs: Sequence[CreativeSpec]) -> list[Wanted]:
    """Pictures to be painted of a product; those of one slot and anchor share the placed product."""
    placed: dict[tuple[str, str], Placed] = {}
    for spec in specs:
        if _stand(spec) not in placed:
            placed[_stand(spec)] = place(cutout, placement_of(spec), anchor_of(spec))
    return [Wanted(spec, placed[_stand(spec)]) for spec in specs]


def _stand(spec: CreativeSpec) -> tuple[str, str]:
    return spec.placement, anchor_of(spec)
