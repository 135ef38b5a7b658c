"""A slow oracle written from the definitions: Python sets, exact fractions, one fact at a time."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy import frombuffer, uint8

from beam_pipelines.replay import LineageState
from contracts import CLICK, Fact, LineageSettings, StatisticsBlob, decision_ms, shard_of


@dataclass
class Sums:
    """Exact sums of a category: arm -> n, reward, gram (upper triangle), moment."""

    n: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    reward: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    gram: dict[str, list[Fraction]] = field(default_factory=dict)
    moment: dict[str, list[Fraction]] = field(default_factory=dict)
    counts: dict[tuple[str, str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    facts: int = 0


@dataclass
class Oracle:
    """Expected state: per category the base as floats (or None), ``through``, and open deltas."""

    base: dict[str, dict[str, list[float]]]
    base_counts: dict[str, dict[tuple[str, str, str], list[int]]]
    base_facts: dict[str, int]
    through: dict[str, int]
    deltas: dict[str, dict[tuple[int, int], Sums]]
    dropped: dict[str, int]


def naive(appended: Iterable[tuple[int, Fact]], settings: LineageSettings, watermark_ms: int) -> Oracle:
    shown: dict[tuple[str, int, int], dict[bytes, Fact]] = defaultdict(dict)
    clicked: dict[tuple[str, int, int], dict[bytes, Fact]] = defaultdict(dict)
    identities: dict[tuple[str, int, int], set[tuple[bytes, int]]] = defaultdict(set)
    dropped: dict[str, int] = defaultdict(int)
    for append_ms, fact in appended:
        if append_ms >= watermark_ms:
            continue
        at = decision_ms(fact.decision_id)
        window = at // settings.window_ms * settings.window_ms
        if append_ms >= window + settings.window_ms + settings.attribution_ms + settings.grace_ms:
            dropped["late"] += 1
            continue
        if at > append_ms + settings.grace_ms:
            dropped["early"] += 1
            continue
        if fact.kind == CLICK and fact.event_ms - at > settings.attribution_ms:
            dropped["unattributed"] += 1
            continue
        shard = int(shard_of(frombuffer(fact.decision_id, dtype=uint8).reshape(1, 16), settings.shards)[0])
        place = (fact.category, window, shard)
        identities[place].add((fact.decision_id, fact.kind))
        shown[place][fact.decision_id] = fact
        if fact.kind == CLICK:
            clicked[place][fact.decision_id] = fact

    deltas: dict[str, dict[tuple[int, int], Sums]] = defaultdict(dict)
    for place, counted in identities.items():
        category, window, shard = place
        sums = Sums(facts=len(counted))
        for fact in shown[place].values():
            x = [Fraction(int(q), 1024) for q in frombuffer(fact.context, dtype="<i2")]
            products = [x[i] * x[j] for i in range(len(x)) for j in range(i, len(x))]
            sums.n[fact.arm] += 1
            old = sums.gram.get(fact.arm, [Fraction(0)] * len(products))
            sums.gram[fact.arm] = [a + b for a, b in zip(old, products, strict=True)]
            sums.moment.setdefault(fact.arm, [Fraction(0)] * len(x))
            sums.counts[fact.policy, fact.arm, fact.placement][0] += 1
        for fact in clicked[place].values():
            x = [Fraction(int(q), 1024) for q in frombuffer(fact.context, dtype="<i2")]
            sums.reward[fact.arm] += 1
            sums.moment[fact.arm] = [a + b for a, b in zip(sums.moment[fact.arm], x, strict=True)]
            sums.counts[fact.policy, fact.arm, fact.placement][1] += 1
        deltas[category][window, shard] = sums
    return _closed(deltas, settings, watermark_ms, dict(dropped))


def _closed(
    deltas: dict[str, dict[tuple[int, int], Sums]],
    settings: LineageSettings,
    watermark_ms: int,
    dropped: dict[str, int],
) -> Oracle:
    base: dict[str, dict[str, list[float]]] = {}
    counts: dict[str, dict[tuple[str, str, str], list[int]]] = {}
    facts: dict[str, int] = {}
    through: dict[str, int] = {}
    for category, places in deltas.items():
        due = sorted(
            {
                window
                for window, _ in places
                if window + settings.window_ms + settings.attribution_ms + settings.grace_ms <= watermark_ms
            }
        )
        for window in due:
            rows = base.setdefault(category, {})
            if category in through:
                for _ in range((window - through[category]) // settings.window_ms):
                    for arm in rows:
                        rows[arm] = [value * settings.gamma for value in rows[arm]]
            fresh: dict[str, list[Fraction]] = {}
            for shard in range(settings.shards):
                sums = places.pop((window, shard), None)
                if sums is None:
                    continue
                facts[category] = facts.get(category, 0) + sums.facts
                for key, pair in sums.counts.items():
                    total = counts.setdefault(category, {}).setdefault(key, [0, 0])
                    total[0] += pair[0]
                    total[1] += pair[1]
                for arm in sums.n:
                    values = [sums.n[arm], sums.reward[arm], *sums.gram[arm], *sums.moment[arm]]
                    old = fresh.get(arm, [Fraction(0)] * len(values))
                    fresh[arm] = [a + b for a, b in zip(old, values, strict=True)]
            for arm, exact in fresh.items():
                old_floats = rows.get(arm, [0.0] * len(exact))
                rows[arm] = [a + float(b) for a, b in zip(old_floats, exact, strict=True)]
            through[category] = window
    return Oracle(base, counts, facts, through, {c: d for c, d in deltas.items() if d}, dropped)


def assert_equals_oracle(state: LineageState, expected: Oracle) -> None:
    assert {name: count for name, count in state.tally.items() if name != "counting"} == expected.dropped
    assert set(state.categories) == {*expected.base, *expected.deltas}
    for name, category in state.categories.items():
        if category.base is None:
            assert name not in expected.base
        else:
            base = category.base
            assert base.through == expected.through[name]
            assert base.version == expected.base_facts[name]
            assert base.arms == tuple(sorted(expected.base[name]))
            for i, arm in enumerate(base.arms):
                found = np.concatenate(([base.n[i], base.reward[i]], base.gram[i], base.moment[i]))
                assert found.tobytes() == np.array(expected.base[name][arm]).tobytes()
            assert base.counts == {k: (float(v[0]), float(v[1])) for k, v in expected.base_counts[name].items()}
        assert category.deltas.keys() == expected.deltas.get(name, {}).keys()
        for place, blob in category.deltas.items():
            assert_equals_sums(blob, expected.deltas[name][place])


def assert_equals_sums(blob: StatisticsBlob, sums: Sums) -> None:
    assert blob.version == sums.facts
    assert blob.arms == tuple(sorted(sums.n))
    for i, arm in enumerate(blob.arms):
        exact = [sums.n[arm], sums.reward[arm], *sums.gram[arm], *sums.moment[arm]]
        found = np.concatenate(([blob.n[i], blob.reward[i]], blob.gram[i], blob.moment[i]))
        assert found.tobytes() == np.array([float(value) for value in exact]).tobytes()
    assert blob.counts == {key: (float(pair[0]), float(pair[1])) for key, pair in sums.counts.items()}
