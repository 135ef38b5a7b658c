import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from contracts import Bias, ContextSchema, CreativeRef, Numeric, StoreError, UnavailableError
from serving.gather import Gathered, Gatherer
from serving.memory import MAX_PLACEMENTS, Slot, SlotMemory
from serving.metrics import Metrics
from stores import OnlineRow

SCHEMA = ContextSchema(
    (
        Bias(),
        Numeric("item_profile:price", 0.0, 10.0, 5.0),
        Numeric("placement_profile:width", 0.0, 10.0, 5.0),
    )
)
REF = CreativeRef("c1", "/media/c1.jpg", 300, 250)


class FakeReader:
    """Answers what it is told to, after a while."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.slow_s = 0.0
        self.stale = False
        self.stale_texts = False
        self.texts = {"item_profile:category": "sofas"}
        self.creatives = {"oak": REF}
        self.values = [8.0, 10.0]

    async def read(
        self, user: str, items: Sequence[str], placement: str, now_ms: int, also: Sequence[bytes] = ()
    ) -> OnlineRow:
        await asyncio.sleep(self.slow_s)
        if self.error is not None:
            raise self.error
        raw = np.array([self.values] * len(items))
        return OnlineRow(
            raw=raw,
            present=~np.isnan(raw),
            stale=np.array([[self.stale, False]] * len(items)),
            texts=(self.texts,) * len(items),
            creatives=tuple(self.creatives for _ in items),
            user_known=True,
            stale_texts=(self.stale_texts,) * len(items),
        )


def a_gatherer(reader: FakeReader, memory: SlotMemory | None = None) -> Gatherer:
    return Gatherer(
        reader, SCHEMA, SlotMemory(10) if memory is None else memory, Metrics(), deadline_s=0.05, placement_columns=[1]
    )


async def gather(gatherer: Gatherer, *items: str) -> Gathered:
    return await gatherer.gather("u", items, "story", 0)


async def test_what_is_read_is_encoded_and_remembered() -> None:
    memory = SlotMemory(10)
    found = await gather(a_gatherer(FakeReader(), memory), "a", "b")
    assert found.contexts.tolist() == [[1024, 614, 1024]] * 2
    assert (found.live, found.user_known, found.placement_known, found.stale) == (True, True, True, (False, False))
    assert memory.recall("b", "story") == Slot({"item_profile:category": "sofas"}, {"oak": REF})


async def test_stale_values_are_not_served_and_are_flagged() -> None:
    reader = FakeReader()
    reader.stale = True
    found = await gather(a_gatherer(reader), "a")
    assert found.contexts.tolist() == [[1024, 0, 1024]]
    assert found.stale == (True,)
    reader.stale, reader.stale_texts = False, True
    assert (await gather(a_gatherer(reader), "a")).stale == (True,)


async def test_a_placement_without_features_is_unknown() -> None:
    reader = FakeReader()
    reader.values = [8.0, np.nan]
    assert not (await gather(a_gatherer(reader), "a")).placement_known


@pytest.mark.parametrize("error", [UnavailableError("away"), StoreError("WRONGTYPE"), ValueError("a defect"), None])
async def test_without_the_store_memory_answers_with_default_features(error: Exception | None) -> None:
    reader = FakeReader()
    gatherer = a_gatherer(reader)
    await gather(gatherer, "a")
    reader.error, reader.slow_s = error, 0.0 if error else 5.0
    found = await gather(gatherer, "a", "never-seen")
    assert (found.live, found.remembered) == (False, (True, False))
    assert found.contexts.tolist() == [[1024, 0, 0]] * 2
    assert found.slots[0].creatives == {"oak": REF}
    assert found.slots[1] == Slot()


async def test_creatives_that_are_gone_are_forgotten() -> None:
    reader = FakeReader()
    gatherer = a_gatherer(reader)
    await gather(gatherer, "a")
    reader.creatives = {}
    await gather(gatherer, "a")
    reader.error = UnavailableError("away")
    assert (await gather(gatherer, "a")).remembered == (False,)


def test_memory_keeps_the_latest() -> None:
    memory = SlotMemory(2)
    for item in ("a", "b", "a", "c"):
        memory.remember(item, "story", Slot())
    assert len(memory) == 2
    assert memory.recall("b", "story") is None
    assert memory.recall("a", "story") == Slot()


async def test_an_item_of_which_nothing_is_left_is_remembered_one_without_pictures_is_not() -> None:
    memory, reader = SlotMemory(10), FakeReader()
    gatherer = a_gatherer(reader, memory)
    before = await gather(gatherer, "a")
    reader.creatives, reader.texts = {}, {}
    lost = await gather(gatherer, "a", "never-seen")
    assert (lost.live, lost.remembered) == (True, (True, False))
    assert lost.slots == (before.slots[0], Slot({}, {}))
    reader.texts = {"item_profile:category": "sofas"}
    withdrawn = await gather(gatherer, "a")
    assert (withdrawn.remembered, withdrawn.slots[0].creatives) == ((False,), {})
    assert memory.recall("a", "story") == Slot({"item_profile:category": "sofas"}, {})


async def test_what_was_known_once_stays_known_when_redis_has_lost_it() -> None:
    memory, reader = SlotMemory(10), FakeReader()
    gatherer = a_gatherer(reader, memory)
    reader.creatives = {}
    await gather(gatherer, "without-pictures")
    reader.texts, reader.values = {}, [np.nan, np.nan]
    found = await gather(gatherer, "without-pictures", "never-seen")
    assert (found.live, found.placement_known, found.remembered) == (True, True, (False, False))
    assert found.slots == (Slot({"item_profile:category": "sofas"}, {}), Slot())
    elsewhere = await gatherer.gather("u", ["without-pictures"], "never-seen", 0)
    assert not elsewhere.placement_known
    assert (elsewhere.slots[0].texts, elsewhere.remembered) == ({"item_profile:category": "sofas"}, (False,))


def test_memory_of_placements_is_bounded() -> None:
    memory = SlotMemory(2)
    for number in range(MAX_PLACEMENTS + 1):
        memory.remember_placement(f"p{number}")
        memory.remember_placement(f"p{number}")
    assert not memory.knew_placement("p0")
    assert memory.knew_placement("p1")
    assert memory.knew_placement(f"p{MAX_PLACEMENTS}")
