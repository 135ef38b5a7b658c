"""The event buffer: pixels and clicks answer at once, their facts reach the log in batches behind them."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from contracts import Fact, FormatError, Position, StoreError, UnavailableError
from serving.ending import end_tasks
from serving.facts import Signed, blobs_of_good
from serving.metrics import Metrics

_FIRST_RETRY_S = 0.05
_LAST_RETRY_S = 1.0

_log = structlog.get_logger("serving.buffer")


class AsyncLog(Protocol):
    """The writing side of the event log."""

    async def append(self, partition: int, blobs: Sequence[bytes]) -> tuple[Position, ...]:
        """Append blobs in order; returns when the log has them."""
        ...

    async def clock_ms(self) -> int:
        """The log's own clock."""
        ...


class EventBuffer:
    """Holds facts until the log has them: bounded, batched, patient while the log is away.

    What is beyond ``capacity`` facts is dropped and counted. Facts whose append ended without an answer are
    appended again; the log may then hold them twice, which the learner's sets take in their stride.
    """

    def __init__(
        self,
        log: AsyncLog,
        metrics: Metrics,
        *,
        partitions: int,
        capacity: int,
        batch: int,
        flush_s: float,
        timeout_s: float,
        watch: Callable[[Fact], None] | None = None,
    ) -> None:
        """Begin empty; ``watch`` sees every fact that is put, and every one that is appended at once."""
        self._log = log
        self._metrics = metrics
        self._partitions = partitions
        self._capacity = capacity
        self._batch = batch
        self._flush_s = flush_s
        self._timeout_s = timeout_s
        self._watch = watch
        self._waiting: deque[Signed] = deque()
        self._unsent: deque[tuple[bytes, int]] = deque()
        self._unsent_facts = 0
        self._partition = 0
        self._refusing: set[int] = set()
        self._wake = asyncio.Event()
        self._closing = False
        self._enough = asyncio.Event()

    def __len__(self) -> int:
        """Count the facts that the log does not have yet."""
        return len(self._waiting) + self._unsent_facts

    @property
    def full(self) -> bool:
        """Whether the next fact would be dropped."""
        return len(self) >= self._capacity

    def put(self, signed: Signed) -> bool:
        """Take a fact; returns False, and counts, if there is no room."""
        if self._watch is not None:
            self._watch(signed.fact)
        if self.full:
            self._metrics.dropped("buffer_overflow", 1)
            return False
        self._waiting.append(signed)
        if len(self._waiting) >= self._batch:
            self._enough.set()
        if not self._wake.is_set():
            self._wake.set()
        return True

    async def append_now(self, signed: Sequence[Signed]) -> list[Signed]:
        """Append facts and return when the log has them, but for those returned: they cannot be encoded.

        Raises:
            StoreError: if the log did not confirm them in time (it may have them all the same).
        """
        blobs, refused = blobs_of_good(signed)
        if blobs:
            await self._append([blob for blob, _ in blobs])
        if self._watch is not None:
            for each in signed:
                if each not in refused:
                    self._watch(each.fact)
        return refused

    async def run(self) -> None:
        """Flush until ``close``; to be run as a task."""
        retry_s = _FIRST_RETRY_S
        while not (self._closing and len(self) == 0):
            if len(self) == 0:
                self._wake.clear()
                await self._wake.wait()
                continue
            if len(self._waiting) < self._batch and not self._closing:
                await self._gather_more()
            try:
                await self._flush()
                retry_s = _FIRST_RETRY_S
            except StoreError as error:
                _log.warning("event_log_away", error=str(error), facts_waiting=len(self))
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, _LAST_RETRY_S)
            except Exception:
                # A defect must not end the task: every fact from then on would be lost.
                _log.exception("flush_broke", facts_waiting=len(self))
                await asyncio.sleep(_LAST_RETRY_S)

    async def close(self, task: asyncio.Task[None], drain_s: float) -> None:
        """Let ``task`` (of ``run``) write what is left, at most ``drain_s`` long; the rest is dropped and counted."""
        self._closing = True
        self._enough.set()
        self._wake.set()
        await asyncio.wait([task], timeout=drain_s)
        if not task.done():
            await end_tasks([task])
        if len(self):
            self._metrics.dropped("shutdown", len(self))
            _log.error("facts_lost_at_shutdown", facts=len(self))

    async def _gather_more(self) -> None:
        """Let a batch grow until it is full, the flush interval is over, or the buffer closes."""
        self._enough.clear()
        try:
            async with asyncio.timeout(self._flush_s):
                await self._enough.wait()
        except TimeoutError:
            return

    async def _flush(self) -> None:
        if not self._unsent:
            batch = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            blobs, refused = blobs_of_good(batch)
            if refused:
                self._metrics.dropped("not_encodable", len(refused))
                _log.error("facts_not_encodable", facts=len(refused))
            self._unsent.extend(blobs)
            self._unsent_facts = sum(facts for _, facts in self._unsent)
        try:
            while self._unsent:
                blob, facts = self._unsent[0]
                await self._append([blob])
                self._unsent.popleft()
                self._unsent_facts -= facts
        finally:
            self._metrics.buffered_facts.set(len(self))

    async def _append(self, blobs: Sequence[bytes]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._append_somewhere(blobs)
        except TimeoutError:
            self._metrics.append("timeout")
            message = f"the event log did not confirm within {self._timeout_s} s"
            raise StoreError(message) from None
        except (FormatError, ValueError) as error:
            # An answer that cannot be read confirms nothing.
            self._metrics.append("failed")
            raise StoreError(str(error)) from error
        except StoreError:
            self._metrics.append("failed")
            raise
        self._metrics.append("ok")

    async def _append_somewhere(self, blobs: Sequence[bytes]) -> None:
        """Append to the next partition; where Redis refuses to write it, which writes nothing, to one of the others.

        A partition that does not answer may have the facts: then no other is tried.
        """
        self._partition = first = (self._partition + 1) % self._partitions
        for step in range(self._partitions):
            at = (first + step) % self._partitions
            try:
                await self._log.append(at, blobs)
            except StoreError as error:
                if isinstance(error, UnavailableError):
                    raise
                self._metrics.append("refused")
                if at not in self._refusing:
                    self._refusing.add(at)
                    _log.error("partition_refuses", partition=at, error=str(error))
                if step == self._partitions - 1:
                    raise
            else:
                self._refusing.discard(at)
                return
