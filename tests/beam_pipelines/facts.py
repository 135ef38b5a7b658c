"""Making facts, batches and logs for tests."""

import random
from collections.abc import Iterable, Sequence

import numpy as np

from contracts import CLICK, IMPRESSION, Fact, LineageSettings, LogEntry, Position, encode_facts, new_decision_id

SCHEMA = "feedfacefeedface"
LINEAGE = "test"
# A window's start for every window length used here.
T0 = 1_700_000_000_000


def settings_of(d: int = 3, *, shards: int = 2, gamma: float = 1.0) -> LineageSettings:
    """Small settings: windows of 10 s, attribution 20 s, grace 5 s."""
    return LineageSettings(
        SCHEMA, d, window_ms=10_000, attribution_ms=20_000, grace_ms=5_000, shards=shards, gamma=gamma
    )


def decision(at_ms: int, seed: int, *, d: int = 3, category: str = "lamps", arms: int = 3) -> Fact:
    """The impression of a decision made at ``at_ms``; everything else follows from ``seed``."""
    rng = random.Random(seed)
    context = np.array([rng.choice((-32767, -1024, -3, 0, 1, 512, 1024, 32767)) for _ in range(d)], dtype="<i2")
    return Fact(
        kind=IMPRESSION,
        decision_id=new_decision_id(at_ms, rng.randbytes),
        decision_ms=at_ms,
        event_ms=at_ms,
        user=f"user-{seed}",
        item=f"item-{seed % 5}",
        category=category,
        arm=f"arm-{rng.randrange(arms)}",
        creative=f"creative-{seed}",
        placement=rng.choice(("feed", "top")),
        policy=rng.choice(("random", "linucb")),
        eligible=tuple(f"arm-{i}" for i in range(arms)),
        propensity=1.0 / arms,
        generation=seed,
        context=context.tobytes(),
    )


def click_on(shown: Fact, event_ms: int) -> Fact:
    """The click on a decision."""
    return changed(shown, kind=CLICK, event_ms=event_ms)


def changed(fact: Fact, **values: object) -> Fact:
    """The fact with other values in it, right or wrong."""
    return Fact(**({name: getattr(fact, name) for name in Fact.__slots__} | values))


def batch(facts: Sequence[Fact], d: int = 3, schema_hash: str = SCHEMA) -> bytes:
    """Facts as a log entry's blob."""
    return encode_facts(facts, d=d, schema_hash=schema_hash, lineage=LINEAGE)


def entries_of(appended: Iterable[tuple[int, Sequence[Fact]]], d: int = 3, schema_hash: str = SCHEMA) -> list[LogEntry]:
    """Log entries of one partition, one for each (append_ms, facts), in order of time."""
    ordered = sorted(appended, key=lambda pair: pair[0])
    return [
        LogEntry(0, Position(append_ms, sequence), batch(facts, d, schema_hash))
        for sequence, (append_ms, facts) in enumerate(ordered)
    ]
