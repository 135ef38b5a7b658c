"""Reading what shapes packs besides statistics: alpha, tags of arms, seeds."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from beam_pipelines.learn.closing import PackInputs, statistics_of
from contracts import FormatError, InvalidInputError, decode_statistics
from learner import Statistics
from stores.policy_store import PolicyStore
from stores.statistics import StatisticsStore

MAX_AGE_S = 5.0

_Read = TypeVar("_Read")

_log = structlog.get_logger("learn")


class Steering:
    """Reads the inputs of packs, each category's at most once in ``max_age_s``: packs are made far more often."""

    def __init__(
        self,
        policies: PolicyStore,
        statistics: StatisticsStore,
        *,
        max_age_s: float = MAX_AGE_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing read; ``now_s`` is any clock that only rises."""
        self._policies = policies
        self._statistics = statistics
        self._max_age_s = max_age_s
        self._now_s = now_s
        self._held: dict[str, tuple[float, PackInputs]] = {}

    def inputs(self, category: str) -> PackInputs:
        """The inputs as last read; one that is damaged keeps its value of before.

        Raises:
            UnavailableError: if Redis did not answer.
        """
        now_s = self._now_s()
        read_s, held = self._held.get(category, (float("-inf"), PackInputs()))
        if now_s - read_s >= self._max_age_s:
            held = PackInputs(
                _sound(lambda: self._policies.get().alpha_of(category), held.alpha, category),
                _sound(lambda: self._policies.tags(category), held.tags, category),
                _sound(lambda: self._seed(category), held.seed, category),
            )
            self._held[category] = now_s, held
        return held

    def _seed(self, category: str) -> Statistics | None:
        blob = self._statistics.seed(category)
        if blob is None:
            return None
        found = decode_statistics(blob)
        return statistics_of(found, found.moment.shape[1])


def _sound(read: Callable[[], _Read], before: _Read, category: str) -> _Read:
    """What is stored; where it is damaged, what was there before: one bad entry must not end the learning."""
    try:
        return read()
    except (FormatError, InvalidInputError) as error:
        _log.error("pack_input_damaged", category=category, error=str(error))
        return before
