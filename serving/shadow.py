"""One read in N goes to the shadow: sampled behind the request, dropped when nobody can take it."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import structlog

from contracts import InvalidInputError, StoreError
from serving.gather import Reader
from serving.metrics import Metrics
from stores import OnlineRow, ShadowSample

_log = structlog.get_logger("serving.shadow")


class SampleSink(Protocol):
    """Where samples go."""

    async def append(self, samples: Sequence[bytes]) -> None:
        """Append samples."""
        ...


class ShadowFeed:
    """A reader that hands every ``every``-th of its reads on to the shadow; ``run`` sends them off.

    At most ``capacity`` wait to be sent: more are dropped and counted.
    """

    def __init__(
        self,
        reader: Reader,
        sink: SampleSink,
        metrics: Metrics,
        *,
        every: int,
        plan: str,
        schema: str,
        capacity: int = 256,
        flush_s: float = 0.5,
    ) -> None:
        """``plan`` is the read plan's fingerprint, ``schema`` the context schema's hash."""
        self._reader = reader
        self._sink = sink
        self._metrics = metrics
        self._every = every
        self._plan = plan
        self._schema = schema
        self._capacity = capacity
        self._flush_s = flush_s
        self._reads = 0
        self._waiting: deque[tuple[str, Sequence[str], str, OnlineRow]] = deque()

    async def read(
        self, user: str, items: Sequence[str], placement: str, now_ms: int, also: Sequence[bytes] = ()
    ) -> OnlineRow:
        """Read, and keep the outcome in mind if it is its turn."""
        row = await self._reader.read(user, items, placement, now_ms, also)
        self._reads += 1
        if self._reads % self._every == 0:
            if len(self._waiting) < self._capacity:
                self._waiting.append((user, items, placement, row))
            else:
                self._metrics.shadow("overflow")
        return row

    async def run(self) -> None:
        """Send what waits, again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._flush_s)
            await self.flush()

    async def flush(self) -> None:
        """Send what waits now; what cannot be sent is dropped and counted."""
        samples: list[bytes] = []
        while self._waiting:
            user, items, placement, row = self._waiting.popleft()
            sample = ShadowSample.of(user, items, placement, row, plan=self._plan, schema=self._schema)
            try:
                samples.append(sample.to_json())
            except InvalidInputError:
                self._metrics.shadow("too_large")
            # Requests come first.
            await asyncio.sleep(0)
        if not samples:
            return
        try:
            await self._sink.append(samples)
        except StoreError as error:
            _log.info("shadow_samples_lost", count=len(samples), error=str(error))
            self._metrics.shadow("failed", len(samples))
        else:
            self._metrics.shadow("sent", len(samples))
