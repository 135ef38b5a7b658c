"""What the server keeps in memory and refreshes behind the requests: packs, traffic split, arm states, clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import structlog

from contracts import (
    BackdropError,
    Clock,
    ContextSchema,
    FormatError,
    StoreError,
    TrafficPolicy,
    UnavailableError,
    packed_length,
)
from learner import LinUCB
from serving.buffer import AsyncLog
from serving.choice import ServedPack
from serving.metrics import Metrics

ACTIVE = "active"
MAX_WANTED = 1_000
_NONE = -1
# A malformed pack is not fetched again before so many rounds, unless its generation changes.
ROUNDS_UNTIL_AGAIN = 60
# Sums over contexts of 64 entries of ±32 stay far from the end of float32.
_LARGEST = 1e30

_log = structlog.get_logger("serving.refresh")


class ArmState(Protocol):
    """What the policy store says of an arm."""

    @property
    def status(self) -> str:
        """``active``, ``paused`` or ``retired``."""
        ...


class PolicySource(Protocol):
    """The policy store, read without blocking."""

    async def get(self) -> TrafficPolicy:
        """The traffic policy in force."""
        ...

    async def arms_of(self, categories: Sequence[str]) -> Sequence[Mapping[str, ArmState] | FormatError | StoreError]:
        """The state of each category's arms, or what is wrong with it."""
        ...


class PackSource(Protocol):
    """The statistics store, as far as serving reads it."""

    async def active_lineage(self) -> str | None:
        """The lineage served."""
        ...

    async def categories(self, lineage: str) -> tuple[str, ...]:
        """Categories that have packs."""
        ...

    async def generations(
        self, categories: Sequence[str], lineage: str
    ) -> Sequence[int | FormatError | StoreError | None]:
        """Generations of packs; None where there is none, or what is wrong with it."""
        ...

    async def get_pack(self, category: str, lineage: str, held: int) -> bytes | None:
        """A pack, if its generation is another than ``held``."""
        ...

    def subscribe(self) -> AsyncIterator[object]:
        """Yields whenever packs changed."""
        ...


class PolicyTable:
    """The traffic policy and the inactive arms, as last read."""

    def __init__(self, source: PolicySource) -> None:
        """Begin with the default policy, until ``refresh`` has read the real one."""
        self._source = source
        self._wanted: set[str] = set()
        self._inactive: dict[str, frozenset[str]] = {}
        self.traffic = TrafficPolicy()
        self.loaded = False

    def inactive(self, category: str) -> frozenset[str]:
        """Arms of a category that must not be chosen (none known before the category's first refresh)."""
        found = self._inactive.get(category)
        if found is None:
            self.want(category)
            return frozenset()
        return found

    async def refresh(self) -> None:
        """Read the policy and the arms of all categories seen so far.

        Requests may name any category: only those that have arms in the store are kept from one round to the next.
        """
        self.traffic = await self._source.get()
        categories = sorted(self._wanted | self._inactive.keys())
        for category, arms in zip(categories, await self._source.arms_of(categories), strict=True):
            if isinstance(arms, FormatError | StoreError):
                # One damaged entry must not freeze the split and every other category.
                _log.error("arms_damaged", category=category, error=str(arms))
                self._wanted.discard(category)
                continue
            if arms:
                self._inactive[category] = frozenset(arm for arm, state in arms.items() if state.status != ACTIVE)
            else:
                self._inactive.pop(category, None)
            self._wanted.discard(category)
        self.loaded = True

    def want(self, category: str) -> None:
        """Read this category's arms at the next refresh."""
        if category not in self._inactive and len(self._wanted) < MAX_WANTED:
            self._wanted.add(category)


class PackTable:
    """The packs of the active lineage, replaced one by one as newer generations appear."""

    def __init__(
        self,
        source: PackSource,
        policies: PolicyTable,
        metrics: Metrics,
        clock: Clock,
        schema: ContextSchema | None = None,
    ) -> None:
        """Begin without packs; those of ``schema`` must have as many entries as its contexts."""
        self._schema = schema
        self._source = source
        self._policies = policies
        self._metrics = metrics
        self._clock = clock
        self._packs: Mapping[str, ServedPack] = {}
        # By category: the generation of a malformed pack, and rounds until it is fetched again.
        self._malformed: Mapping[str, tuple[int, int]] = {}
        self.lineage: str | None = None
        self.loaded = False

    @property
    def packs(self) -> Mapping[str, ServedPack]:
        """All packs by category; never changed in place."""
        return self._packs

    def get(self, category: str) -> ServedPack | None:
        """The pack of a category."""
        return self._packs.get(category)

    async def refresh(self) -> None:
        """Fetch what changed; a pack that cannot be read is counted and the last good one stays."""
        lineage = await self._source.active_lineage()
        if lineage is None:
            self.lineage, self._packs, self._malformed, self.loaded = None, {}, {}, True
            return
        packs = dict(self._packs) if lineage == self.lineage else {}
        before = self._malformed if lineage == self.lineage else {}
        malformed: dict[str, tuple[int, int]] = {}
        categories = await self._source.categories(lineage)
        for category, generation in zip(categories, await self._source.generations(categories, lineage), strict=True):
            self._policies.want(category)
            held = packs.get(category)
            mine = held.model.generation if held else _NONE
            if generation is None or generation == mine:
                continue
            bad, rounds = before.get(category, (_NONE, 0))
            if generation == bad and rounds:
                malformed[category] = (bad, rounds - 1)
                continue
            try:
                if isinstance(generation, FormatError | StoreError):
                    raise generation
                # One at a time: requests are answered between two of them.
                blob = await self._source.get_pack(category, lineage, mine)
                if blob is None:
                    continue
                model = read_pack(blob, lineage, self._schema)
            except UnavailableError:
                raise
            except (FormatError, StoreError) as error:
                self._metrics.pack("malformed")
                _log.error("pack_malformed", category=category, lineage=lineage, error=str(error))
                if isinstance(generation, int):
                    malformed[category] = (generation, ROUNDS_UNTIL_AGAIN)
                continue
            packs[category] = ServedPack(model, self._clock.now_ms())
            self._metrics.pack("taken")
            self._metrics.pack_generation.labels(category).set(model.generation)
        # One assignment: a request sees the old packs or the new ones, never a mixture of lineages.
        self.lineage, self._packs, self._malformed, self.loaded = lineage, packs, malformed, True


def read_pack(blob: bytes, lineage: str, schema: ContextSchema | None = None) -> LinUCB:
    """Read a pack that can be served: whole, of this lineage, with numbers whose scores are finite at any context.

    Raises:
        FormatError: saying what is wrong with it.
    """
    model = LinUCB.from_arrow(blob)
    if model.lineage != lineage:
        message = f"pack is of lineage {model.lineage!r}, not of {lineage!r}"
        raise FormatError(message)
    if model.inverse.shape[1] != packed_length(model.d):
        message = f"pack of {len(model.arms)} arms, d = {model.d} has {model.inverse.shape[1]} entries an inverse"
        raise FormatError(message)
    if schema is not None and model.schema_hash == schema.hash and model.d != schema.d:
        message = f"pack has d = {model.d}, its schema {schema.hash} has {schema.d}"
        raise FormatError(message)
    fresh = () if model.fresh is None else (model.fresh.theta, model.fresh.inverse)
    values = (model.theta, model.inverse, *fresh)
    if not all((np.abs(each) <= _LARGEST).all() for each in values) or not 1 / _LARGEST <= model.ridge <= _LARGEST:
        message = f"pack holds values that are not finite, or beyond {_LARGEST:g}"
        raise FormatError(message)
    return model


class ClockCheck:
    """Compares the local clock with the log's: beyond half the grace, decisions' times cannot be trusted."""

    def __init__(self, log: AsyncLog, clock: Clock, metrics: Metrics, *, limit_ms: int) -> None:
        """Begin undecided."""
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._limit_ms = limit_ms
        self.skew_ms: int | None = None

    @property
    def good(self) -> bool:
        """Whether the last comparison was within the limit (True before the first)."""
        return self.skew_ms is None or abs(self.skew_ms) <= self._limit_ms

    async def refresh(self) -> None:
        """Compare once; the local time is taken half-way between question and answer."""
        before = self._clock.now_ms()
        log_ms = await self._log.clock_ms()
        self.skew_ms = (before + self._clock.now_ms()) // 2 - log_ms
        self._metrics.clock_skew_ms.set(self.skew_ms)
        self._metrics.clock_check("ok" if self.good else "skewed")
        if not self.good:
            _log.error("clock_skewed", skew_ms=self.skew_ms, limit_ms=self._limit_ms)


class Refresher:
    """Runs a refresh now and then, forever: failures are counted and logged, the next round comes."""

    def __init__(self, name: str, step: Callable[[], Awaitable[None]], every_s: float, metrics: Metrics) -> None:
        """Prepare; ``every_s`` is the pause between rounds."""
        self.name = name
        self._step = step
        self._every_s = every_s
        self._metrics = metrics
        self._wake = asyncio.Event()
        self.failing = False
        self.done_once = False

    def hurry(self) -> None:
        """Begin the next round now."""
        self._wake.set()

    async def round(self) -> None:
        """One round."""
        try:
            await self._step()
        except BackdropError as error:
            if not self.failing:
                _log.warning("refresh_failed", what=self.name, error=str(error))
            self.failing = True
            self._metrics.refresh(self.name, "failed")
        except Exception:
            # A defect must not end the task: the server would go on with ever older packs and say nothing.
            _log.exception("refresh_broken", what=self.name)
            self.failing = True
            self._metrics.refresh(self.name, "broken")
        else:
            if self.failing:
                _log.info("refresh_recovered", what=self.name)
            self.failing, self.done_once = False, True
            self._metrics.refresh(self.name, "ok")

    async def run(self) -> None:
        """Rounds until cancelled."""
        while True:
            await self.round()
            try:
                async with asyncio.timeout(self._every_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
            finally:
                self._wake.clear()
