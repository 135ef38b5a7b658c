"""What the live view shows, measured: facts folded, the lag from an event to the served model, rates, CTRs."""

import asyncio
import collections
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import redis
from numpy.typing import NDArray

from contracts import POLICIES, UnavailableError, keys
from demo.shoppers import Ledger
from stores import StatisticsStore

SAMPLE_S = 0.4
_RATE_SPAN_S = 5.0
_TREND_SPAN_S = 10.0
_GIVE_UP_S = 60.0


@dataclass(frozen=True, slots=True)
class Folded:
    """The store at one instant, by category code (C,): facts counted, and the generation of the statistics."""

    facts: NDArray[np.int64]
    generation: NDArray[np.int64]


class FoldedReader:
    """Reads how far the learner has come from Redis; categories are coded by their place in ``categories``."""

    def __init__(self, client: redis.Redis, lineage: str, categories: Sequence[str]) -> None:
        self._client = client
        self._store = StatisticsStore(client, lineage)
        self._categories = tuple(categories)
        self._generations = [keys.generation(category, lineage) for category in categories]

    def read(self) -> Folded:
        """Read the store.

        Raises:
            UnavailableError: if Redis did not answer.
        """
        facts = self._store.facts()
        counted = [facts[name].total if name in facts else 0 for name in self._categories]
        try:
            # Read after the facts: a pack of this generation or a later one holds at least those facts.
            found = [self._client.get(name) for name in self._generations]
        except redis.RedisError as error:
            message = f"Redis did not answer: {error}"
            raise UnavailableError(message) from error
        return Folded(
            np.array(counted, dtype=np.int64),
            np.array([int(str(value, "ascii")) if isinstance(value, bytes) else 0 for value in found]),
        )


class LagProbe:
    """Measures event to served model, by category: facts acknowledged at t are in the model served at t + lag."""

    def __init__(self, categories: int) -> None:
        self.lags_s: list[float] = []
        self._started_s = [-1.0] * categories
        self._facts = [0] * categories
        self._generation = [-1] * categories

    @property
    def latest_s(self) -> float | None:
        """Mean of the last few lags, None before the first."""
        recent = self.lags_s[-len(self._facts) :]
        return sum(recent) / len(recent) if recent else None

    def step(self, now_s: float, acknowledged: NDArray[np.int64], folded: Folded, served: NDArray[np.int64]) -> None:
        """Take one sample of all categories (C,)."""
        for code in range(len(self._facts)):
            if self._started_s[code] >= 0:
                if self._generation[code] < 0 and folded.facts[code] >= self._facts[code]:
                    self._generation[code] = int(folded.generation[code])
                if 0 <= self._generation[code] <= served[code]:
                    self.lags_s.append(now_s - self._started_s[code])
                    self._started_s[code] = -1.0
                elif now_s - self._started_s[code] > _GIVE_UP_S:
                    # A fact that was refused (late, for example) would hold this probe for ever.
                    self._started_s[code] = -1.0
            if self._started_s[code] < 0 and acknowledged[code] > self._facts[code]:
                self._started_s[code] = now_s
                self._facts[code] = int(acknowledged[code])
                self._generation[code] = -1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One frame of the live view; counts by policy (Q,), ``trend`` (Q, T) recent CTRs, nan where nothing was shown."""

    elapsed_s: float
    decided: int
    total: int
    decisions_per_s: float
    folded: int
    acknowledged: int
    folded_per_s: float
    lag_s: float | None
    shown: NDArray[np.int64]
    clicks: NDArray[np.int64]
    trend: NDArray[np.float64]
    problems: int


@dataclass(slots=True)
class _Mark:
    at_s: float
    decided: int
    folded: int
    shown: NDArray[np.int64]
    clicks: NDArray[np.int64]


@dataclass(slots=True)
class Monitor:
    """Turns samples of a ledger and a store into snapshots."""

    ledger: Ledger
    reader: FoldedReader
    show: Callable[[Snapshot], None]
    probe: LagProbe = field(init=False)
    folded: int = 0
    peak_folded_per_s: float = 0.0

    def __post_init__(self) -> None:
        """Begin without samples."""
        self.probe = LagProbe(len(self.ledger.facts))

    async def run(self) -> None:
        """Sample until cancelled; a Redis that is away for a moment only leaves a gap."""
        started = time.monotonic()
        recent: collections.deque[_Mark] = collections.deque([self._mark(started)])
        trend: list[_Mark] = [recent[0]]
        while True:
            try:
                folded = await asyncio.to_thread(self.reader.read)
            except UnavailableError:
                await asyncio.sleep(SAMPLE_S)
                continue
            now = time.monotonic()
            self.folded = int(folded.facts.sum())
            self.probe.step(now, self.ledger.facts, folded, self.ledger.served)
            recent.append(self._mark(now))
            while now - recent[0].at_s > _RATE_SPAN_S:
                recent.popleft()
            if now - trend[-1].at_s >= _TREND_SPAN_S:
                trend.append(recent[-1])
            self.show(self._snapshot(now - started, recent, trend))
            await asyncio.sleep(SAMPLE_S)

    def _mark(self, now_s: float) -> _Mark:
        ledger = self.ledger
        return _Mark(now_s, ledger.decided, self.folded, ledger.shown.copy(), ledger.clicks.copy())

    def _snapshot(self, elapsed_s: float, recent: Sequence[_Mark], trend: Sequence[_Mark]) -> Snapshot:
        first, last = recent[0], recent[-1]
        span = max(last.at_s - first.at_s, SAMPLE_S)
        folded_per_s = (last.folded - first.folded) / span
        self.peak_folded_per_s = max(self.peak_folded_per_s, folded_per_s)
        return Snapshot(
            elapsed_s=elapsed_s,
            decided=self.ledger.decided,
            total=self.ledger.total,
            decisions_per_s=(last.decided - first.decided) / span,
            folded=self.folded,
            acknowledged=int(self.ledger.facts.sum()),
            folded_per_s=folded_per_s,
            lag_s=self.probe.latest_s,
            shown=last.shown,
            clicks=last.clicks,
            trend=_trend(trend),
            problems=sum(self.ledger.problems.values()),
        )


def _trend(marks: Sequence[_Mark]) -> NDArray[np.float64]:
    if len(marks) == 1:
        return np.zeros((len(POLICIES), 0))
    shown = np.diff([mark.shown for mark in marks], axis=0)
    clicks = np.diff([mark.clicks for mark in marks], axis=0)
    return np.asarray(np.where(shown > 0, clicks / np.maximum(shown, 1), np.nan).T)
