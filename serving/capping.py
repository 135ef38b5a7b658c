"""Frequency capping: a creative that a user was shown often enough lately is not chosen for that user."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from contracts import IMPRESSION, Fact, StoreError
from serving.metrics import Metrics
from stores import Shown, shown_counts, shown_request
from stores.round_trip import Reply

_BATCH = 512
_RETRY_S = 1.0

_log = structlog.get_logger("serving.capping")


@dataclass(frozen=True, slots=True)
class Cap:
    """At most ``impressions`` of a creative to a user in any ``window_ms``."""

    impressions: int
    window_ms: int

    def request(self, user: str, now_ms: int) -> bytes:
        """The packed read command that goes along with a decision's features."""
        return shown_request(user, now_ms - self.window_ms)

    def reached(self, reply: Reply) -> frozenset[str]:
        """Ids of the creatives that may not be shown again yet, from the reply to ``request``."""
        return frozenset(name for name, times in shown_counts(reply).items() if times >= self.impressions)


class ShownStore(Protocol):
    """Where impressions are kept for capping."""

    async def add(self, shown: Iterable[Shown], window_ms: int) -> None:
        """Add impressions; again is safe."""
        ...


class CapWriter:
    """Brings impressions to the store behind the requests: bounded, batched, patient while the store is away.

    What is beyond ``capacity``, or still waiting when a process ends badly, is not counted against the cap.
    """

    def __init__(
        self, cap: Cap, store: ShownStore, metrics: Metrics, *, capacity: int, flush_s: float, timeout_s: float
    ) -> None:
        """Begin empty."""
        self._cap = cap
        self._store = store
        self._metrics = metrics
        self._capacity = capacity
        self._flush_s = flush_s
        self._timeout_s = timeout_s
        self._waiting: deque[Shown] = deque()
        self._wake = asyncio.Event()

    def see(self, fact: Fact) -> None:
        """Take a fact; only an impression of a creative of ours counts."""
        if fact.kind != IMPRESSION or not fact.creative:
            return
        if len(self._waiting) >= self._capacity:
            self._metrics.capping("overflow", 1)
            return
        self._waiting.append(Shown(fact.user, fact.creative, fact.decision_id, fact.event_ms))
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._flush_s)
            if not await self.flush():
                await asyncio.sleep(_RETRY_S)

    async def flush(self) -> bool:
        """Write all that waits; returns False if the store did not take it, which is kept."""
        self._wake.clear()
        while self._waiting:
            batch = [self._waiting[at] for at in range(min(_BATCH, len(self._waiting)))]
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._store.add(batch, self._cap.window_ms)
            except (StoreError, TimeoutError) as error:
                _log.warning("impressions_wait", error=str(error), waiting=len(self._waiting))
                self._metrics.capping("failed", 1)
                self._wake.set()
                return False
            for _ in batch:
                self._waiting.popleft()
            self._metrics.capping("written", len(batch))
        return True
