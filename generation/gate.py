"""The whole gate: the numbers of the pixels, and those of whatever models are given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from generation.arrays import Pixels
from generation.cutout import Segmenter
from generation.gate_models import ClipAgreement, ImageClassifier
from generation.gate_settings import GateSettings
from generation.layout import Placed
from generation.quality import LIMITS, Verdict, judge_picture, verdict_of
from generation.recut import RECUT_LIMITS, recut


class Rating(Protocol):
    """A number that a model gives a picture u8[h, w, 3] painted for a text."""

    def __call__(self, picture: Pixels, text: str) -> float:
        """The number."""
        ...


@dataclass(frozen=True, slots=True)
class Gate:
    """Judges creatives; ``segmenter`` (if any) cuts each out again, ``ratings`` are by the name of their number."""

    segmenter: Segmenter | None = None
    ratings: Mapping[str, Rating] = field(default_factory=lambda: MappingProxyType({}))
    limits: Mapping[str, tuple[float, float]] = field(default_factory=lambda: LIMITS)

    def __call__(self, picture: Pixels, placed: Placed, text: str) -> Verdict:
        """Measure a creative u8[h, w, 3] painted for ``text`` against its placed product."""
        numbers = dict(judge_picture(picture, placed).numbers)
        if self.segmenter is not None and (placed.alpha > 0).any():
            numbers |= recut(picture, placed, self.segmenter)
        numbers |= {name: rating(picture, text) for name, rating in self.ratings.items()}
        return verdict_of(numbers, self.limits)


def open_gate(options: Mapping[str, str], segmenter: Segmenter) -> Gate:
    """The gate of some options (as text, see ``GateSettings``); models are loaded here, once.

    Raises:
        SettingsError: if an option is unknown or out of range.
        SetupError: if a model folder holds no such model.
    """
    settings = GateSettings.from_options(options)
    limits = {**LIMITS, **RECUT_LIMITS}
    ratings: dict[str, Rating] = {}
    if settings.nsfw:
        ratings["nsfw"] = ImageClassifier(settings.nsfw, settings.nsfw_label)
        limits["nsfw"] = (0.0, settings.nsfw_limit)
    if settings.clip:
        ratings["agreement"] = ClipAgreement(settings.clip)
        limits["agreement"] = (settings.clip_limit, 1.0)
    return Gate(segmenter if settings.recut else None, MappingProxyType(ratings), MappingProxyType(limits))
