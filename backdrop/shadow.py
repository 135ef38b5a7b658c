"""The shadow: reads again, by Feast's SDK, what servers have read by the plan, and says where they differ."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from backdrop.sdk_reader import SdkReader
from contracts import ContextSchema, FormatError, ReadPlan, UnavailableError
from stores import AsyncShadowStream, OnlineReader, SampledRow, ShadowSample
from stores.feast_rows import View

EQUAL, CHANGED, REWRITTEN, MISMATCH = "equal", "changed", "rewritten", "mismatch"
OTHER_PLAN, DAMAGED, UNAVAILABLE = "other_plan", "damaged_sample", "unavailable"

_COUNT = 64
_WAIT_MS = 200
_RETRY_S = 1.0
# The SDK knows event times to the microsecond.
_SAME_NS = 1_000

_log = structlog.get_logger("backdrop.shadow")


@dataclass(frozen=True, slots=True)
class Difference:
    """One value: what was served and what the SDK found now, None where there is none."""

    reference: str
    served: float | str | None
    found: float | str | None


@dataclass(slots=True)
class Tally:
    """What became of the samples, and of which references the mismatches were."""

    outcomes: Counter[str] = field(default_factory=Counter)
    mismatches: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        """The report, one sentence."""
        total = sum(self.outcomes.values())
        parts = ", ".join(f"{count:,} {name}" for name, count in sorted(self.outcomes.items()))
        where = "".join(f"; {name}: {count:,}" for name, count in self.mismatches.most_common(10))
        return f"{total:,} samples read again: {parts or 'none'}{where}"


def differences(
    views: Sequence[View], served: SampledRow, found: SampledRow
) -> tuple[list[Difference], list[Difference]]:
    """Values that differ: where the row's event time is the same, and where it is another."""
    same: list[Difference] = []
    changed: list[Difference] = []
    numbers, texts = (dict(served.numbers), dict(found.numbers)), (dict(served.texts), dict(found.texts))
    times = zip(views, _times(served, views), _times(found, views), strict=True)
    for view, served_ns, found_ns in times:
        unchanged = served_ns == found_ns or abs(served_ns - found_ns) <= _SAME_NS
        for slot in view.slots:
            pairs: list[tuple[float | str | None, float | str | None]] = [
                (texts[0].get(slot.reference), texts[1].get(slot.reference)),
                (numbers[0].get(slot.column), numbers[1].get(slot.column)),
            ]
            for before, after in pairs:
                if before != after:
                    (same if unchanged else changed).append(Difference(slot.reference, before, after))
    return same, changed


class Shadow:
    """Judges samples one by one; ``count`` hears of each outcome, ``count_mismatch`` of each reference."""

    def __init__(
        self,
        sdk: SdkReader,
        plain: OnlineReader,
        plan: ReadPlan,
        schema: ContextSchema,
        *,
        count: Callable[[str], None] = lambda _: None,
        count_mismatch: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``plain`` is the plan's reader on the same stores."""
        self._sdk = sdk
        self._plain = plain
        self._plan = plan.fingerprint
        self._schema = schema.hash
        self._count = count
        self._count_mismatch = count_mismatch
        self.tally = Tally()

    async def judge(self, data: bytes) -> str:
        """Compare one sample with what the SDK reads now; returns what became of it.

        Raises:
            UnavailableError: if Redis does not answer.
        """
        outcome = await self._outcome(data)
        self.tally.outcomes[outcome] += 1
        self._count(outcome)
        return outcome

    async def _outcome(self, data: bytes) -> str:
        try:
            sample = ShadowSample.from_json(data)
        except FormatError as error:
            _log.warning("shadow_sample_damaged", error=str(error))
            return DAMAGED
        if (sample.plan, sample.schema) != (self._plan, self._schema):
            return OTHER_PLAN
        outcomes = {await self._entity(role, entity, row) for role, entity, row in sample.asked()}
        return next(outcome for outcome in (MISMATCH, REWRITTEN, CHANGED, EQUAL) if outcome in outcomes)

    async def _entity(self, role: str, entity: str, served: SampledRow) -> str:
        """One entity: the SDK between two reads by the plan, where it does not find what was served."""
        views = self._sdk.views(role)
        found = await self._found(role, entity)
        if found is not None:
            same, changed = differences(views, served, found)
            if not same:
                return CHANGED if changed else EQUAL
        before = await self._now(role, entity)
        found = await self._found(role, entity)
        if before != await self._now(role, entity):
            return CHANGED
        if found is None:
            self._tell(role, entity, Difference(f"{role}:*", f"{before.damaged} damaged", "refused by the SDK"))
            return MISMATCH
        same, changed = differences(views, before, found)
        for each in (*same, *changed):
            self._tell(role, entity, each)
        # Where both readers agree on what is stored now, the row was written again with the same event time.
        return MISMATCH if same or changed else REWRITTEN

    async def _found(self, role: str, entity: str) -> SampledRow | None:
        """What the SDK reads; None if it refuses the stored bytes."""
        try:
            (row,) = await self._sdk.rows(role, [entity])
        except FormatError:
            return None
        return SampledRow.of(row)

    async def _now(self, role: str, entity: str) -> SampledRow:
        return SampledRow.of(await self._plain.row(role, entity))

    def _tell(self, role: str, entity: str, each: Difference) -> None:
        self.tally.mismatches[each.reference] += 1
        self._count_mismatch(each.reference)
        _log.warning(
            "shadow_mismatch", reference=each.reference, role=role, entity=entity, plan=each.served, sdk=each.found
        )


async def follow(shadow: Shadow, stream: AsyncShadowStream, ending: asyncio.Event, *, samples: int = 0) -> None:
    """Judge what comes, until ``ending`` or for a number of samples (0: no end); a Redis that is away is waited for."""
    at: str | None = None
    judged = 0
    while not ending.is_set() and (not samples or judged < samples):
        try:
            at = at or await stream.last()
            for position, data in await stream.read(at, count=_COUNT, wait_ms=_WAIT_MS):
                await shadow.judge(data)
                at, judged = position, judged + 1
        except UnavailableError as error:
            _log.info("shadow_waits", error=str(error))
            shadow.tally.outcomes[UNAVAILABLE] += 1
            await asyncio.sleep(_RETRY_S)


def _times(row: SampledRow, views: Sequence[View]) -> tuple[float, ...]:
    """Event times, view by view; none at all where the plan could not even ask."""
    return row.event_ns or (float("-inf"),) * len(views)
