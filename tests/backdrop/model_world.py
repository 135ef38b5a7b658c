"""A lineage in Redis without a learner: what replay makes of some facts, stored as a learner stores it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import redis

from beam_pipelines.learn.closing import PackInputs
from beam_pipelines.learn.publisher import Publisher
from beam_pipelines.replay import replay
from contracts import ContextSchema, Fact, LineageSettings, encode_statistics
from learner import ModelSettings
from stores import Delta, StatisticsStore
from tests.beam_pipelines.facts import LINEAGE, T0, changed, click_on, decision, entries_of

SCHEMA = ContextSchema.from_document(
    {
        "version": 1,
        "fields": [
            {"kind": "bias"},
            {"kind": "numeric", "feature": "user:age", "low": 18.0, "high": 98.0, "impute": 40.0},
            {"kind": "one_hot", "feature": "user:device", "vocabulary": ["phone", "tablet[old]"]},
        ],
    }
)
SETTINGS = LineageSettings(SCHEMA.hash, SCHEMA.d, window_ms=10_000, attribution_ms=20_000, grace_ms=5_000, shards=2)
WATERMARK_MS = T0 + 60_000
ALPHA = 0.25


@dataclass(frozen=True)
class Told:
    """What the facts say, to compare with: the impressions, and the ids of those clicked."""

    shown: tuple[Fact, ...]
    clicked: frozenset[bytes]

    def of(self, category: str, arm: str) -> tuple[Fact, ...]:
        return tuple(fact for fact in self.shown if (fact.category, fact.arm) == (category, arm))

    def clicks(self, facts: Sequence[Fact]) -> int:
        return sum(fact.decision_id in self.clicked for fact in facts)


def tell(categories: Sequence[str], each: int = 40, seed: int = 1) -> tuple[Told, list[tuple[int, list[Fact]]]]:
    """Facts of an hour's first minute: impressions of ``categories``, some clicked; and when each was appended."""
    rng = random.Random(seed)
    shown, clicked, appended = [], set(), []
    for number, category in enumerate(list(categories) * each):
        at = T0 + rng.randrange(0, 55_000)
        context = np.array([1024, rng.randrange(-1024, 1025), *rng.choice(((1024, 0), (0, 1024), (0, 0)))], dtype="<i2")
        fact = changed(decision(at, seed * 10_000 + number, d=4, category=category), context=context.tobytes())
        shown.append(fact)
        appended.append((at + 10, [fact]))
        if rng.random() < 0.3:
            clicked.add(fact.decision_id)
            appended.append((at + 100, [click_on(fact, at + 90)]))
    return Told(tuple(shown), frozenset(clicked)), appended


def learn(client: redis.Redis, appended: Sequence[tuple[int, list[Fact]]], *, lineage: str = LINEAGE) -> None:
    """Store what a learner would have stored by ``WATERMARK_MS``, packs included."""
    store = StatisticsStore(client, lineage)
    store.begin(SETTINGS)
    publisher = Publisher(store, SETTINGS, model=ModelSettings(), inputs_of=lambda _: PackInputs(alpha=ALPHA))
    entries = entries_of(appended, d=SCHEMA.d, schema_hash=SCHEMA.hash)
    for category, found in replay(entries, SETTINGS, lineage=lineage, watermark_ms=WATERMARK_MS).categories.items():
        if found.base is not None:
            base = encode_statistics(found.base)
            assert store.close(category, seen=-1, through=found.base.through, facts=found.base.version, base=base)
        deltas = [Delta(*place, blob.version, encode_statistics(blob)) for place, blob in found.deltas.items()]
        store.put_deltas(category, deltas)
        assert publisher.publish_pack(category)
    store.raise_low_watermark(WATERMARK_MS)
