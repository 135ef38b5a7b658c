"""However the log is cut, ordered and merged, the features are those of the definitions."""

import random
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.features.aggregate import (
    USER,
    VIEWS,
    Lookups,
    aggregate,
    band_codes,
    columns_of_user,
    latest_prices,
    style_codes,
)
from beam_pipelines.features.counts import Counts, merge
from beam_pipelines.features.decided import decisions
from beam_pipelines.features.rows import Totals, feature_rows
from beam_pipelines.features.slices import Slice, cut, entries_of, horizon, since
from beam_pipelines.features.stages import AddTotals, MergeCounts, spread
from contracts import Fact, LineageSettings
from feature_repo import Aggregates, stats_schemas
from tests.beam_pipelines.facts import T0, batch, changed, click_on, decision, settings_of
from tests.beam_pipelines.features import stats_oracle as oracle
from tests.beam_pipelines.histories import EDGES, batches, histories
from tests.beam_pipelines.memory_log import MemoryLog

RULES = settings_of()
AGGREGATES = Aggregates("mood", oracle.STYLES, oracle.BANDS, oracle.LIMITS, float(oracle.STRENGTH))
PARTITIONS = 3
DAY = 86_400_000
PRICES = [(name, np.nan if price is None else price) for name, price in oracle.PRICES.items()]
LOOKUPS = Lookups(
    lambda category: style_codes(oracle.TAGS.get(category, {}), AGGREGATES),
    dict(zip(oracle.PRICES, band_codes(np.array([price for _, price in PRICES]), AGGREGATES).tolist(), strict=True)),
)
AS_OF = st.builds(
    lambda window, edge: RULES.bound_ms(T0 + window * RULES.window_ms) + edge,
    st.integers(-1, 6),
    st.sampled_from((-5_000, *EDGES)),
)


def few_users(appended: list[tuple[int, Fact]]) -> list[tuple[int, Fact]]:
    """The same facts with users who come back."""
    return [(at, changed(fact, user=f"user-{int(fact.user.removeprefix('user-')) % 4}")) for at, fact in appended]


def log_of(appended: list[tuple[int, Fact]], rows: int, rng: random.Random) -> MemoryLog:
    log = MemoryLog(PARTITIONS)
    for append_ms, facts in batches(appended, rows):
        log.add(append_ms, batch(facts), rng.randrange(PARTITIONS))
    return log


def counts_of(log: MemoryLog, parts: list[Slice], rules: LineageSettings, tally: Counter[str]) -> dict[str, Counts]:
    """Counts by view, as the job's stages make them, elements encoded."""
    found: dict[str, list[bytes]] = {}
    for part in parts:
        for shown, clicked in decisions(entries_of(log, PARTITIONS, part, rules), rules, part, tally):
            for view, counts in aggregate(shown, clicked, AGGREGATES, LOOKUPS).items():
                for key, element in spread(view, counts):
                    found.setdefault(key, []).append(element)
    combine: Any = MergeCounts
    combine = combine()
    merged = {key: reduce(combine.add_input, elements, combine.create_accumulator()) for key, elements in found.items()}
    by_view: dict[str, list[Counts]] = {view: [] for view in VIEWS}
    for key, accumulator in merged.items():
        by_view[key.partition("/")[0]].append(Counts.decode(combine.extract_output(accumulator)))
    return {view: merge(each) for view, each in by_view.items() if each}


def rows_of(counts: Mapping[str, Counts], as_of_ms: int) -> dict[str, dict[str, dict[str, object]]]:
    adding = AddTotals(AGGREGATES)
    parts = [Totals.of(view, own, AGGREGATES).encode() for view, own in counts.items()]
    totals = Totals.decode(reduce(adding.add_input, parts, adding.create_accumulator()))
    found: dict[str, dict[str, dict[str, object]]] = {view: {} for view in VIEWS}
    for view, own in counts.items():
        table = feature_rows(view, own, totals, AGGREGATES, as_of_ms)
        assert table.schema.equals(stats_schemas(AGGREGATES)[view])
        for row in table.to_pylist():
            assert row.pop("event_timestamp").timestamp() * 1000 == pytest.approx(as_of_ms)
            found[view][str(row.pop(table.schema.names[0]))] = row
    return found


def assert_same(
    found: Mapping[str, Mapping[str, Mapping[str, object]]], expected: Mapping[str, Mapping[str, oracle.Row]]
) -> None:
    for view, entities in expected.items():
        assert found[view].keys() == entities.keys()
        for name, row in entities.items():
            assert found[view][name].keys() == row.keys()
            for feature, value in row.items():
                exact = float(value) if isinstance(value, Fraction) else value
                near = exact if exact is None else pytest.approx(exact, rel=1e-6, abs=1e-9)
                assert found[view][name][feature] == near, (view, name, feature)


@given(
    histories(),
    AS_OF,
    st.sampled_from((10_000, 20_000, 25_000, 35_001, DAY)),
    st.integers(1, 9),
    st.sampled_from((1, 2, 5)),
    st.randoms(use_true_random=False),
)
def test_features_are_those_of_the_definitions(
    history: list[tuple[int, Fact]], as_of_ms: int, horizon_ms: int, rows: int, windows: int, rng: random.Random
) -> None:
    appended = few_users(history)
    whole = since(horizon(as_of_ms, horizon_ms, RULES), min((at for at, _ in appended), default=as_of_ms), RULES)
    length = windows * RULES.window_ms
    parts = [Slice(at, min(at + length, whole.end_ms)) for at in range(whole.first_ms, whole.end_ms, length)]
    rng.shuffle(parts)
    tally = Counter[str]()
    found = rows_of(counts_of(log_of(appended, rows, rng), parts, RULES, tally), as_of_ms)
    expected = oracle.rows_of(appended, RULES, as_of_ms, horizon_ms)
    assert_same(found, expected)
    if any(expected.values()):
        assert tally["counting"] > 0


def test_a_known_case() -> None:
    at = T0 + 1_000
    shown = changed(decision(at, 1), item="item-1", arm="arm-0", user="u")
    appended = [(at, shown), (at + 1, shown), (at + 2, click_on(shown, at + 2))]
    found = rows_of(
        counts_of(log_of(appended, 1, random.Random(1)), [Slice(T0, T0 + 10_000)], RULES, Counter()), T0 + 60_000
    )
    row = found[USER]["u"]
    assert (row["impressions"], row["clicks"], row["since_click_s"]) == (1, 1, 59)
    assert row["ctr_style_calm"] == row["ctr_price_middle"] == 1.0
    # Nobody was shown these: the rate is everybody's.
    assert row["ctr_style_living_room"] == row["ctr_price_low"] == 1.0
    assert found["item_stats"]["item-1"]["popularity"] == 1.0


def test_slices_cover_the_horizon_once_and_are_few() -> None:
    rules = LineageSettings("s", 1)
    as_of = T0 + 12_345_678
    for days in (0.01, 1, 30, 4000):
        whole = horizon(as_of, round(days * DAY), rules)
        parts = cut(whole, rules)
        assert [part.first_ms for part in parts[1:]] == [part.end_ms for part in parts[:-1]]
        assert not parts or (parts[0].first_ms, parts[-1].end_ms) == (whole.first_ms, whole.end_ms)
        assert len(parts) <= 64
        assert all(part.first_ms % rules.window_ms == 0 for part in parts)
        assert rules.bound_ms(whole.end_ms - rules.window_ms) <= as_of < rules.bound_ms(whole.end_ms)
        assert whole.first_ms == whole.end_ms or as_of - days * DAY <= whole.first_ms
    assert cut(horizon(5, DAY, rules), rules) == []


def test_facts_held_are_those_of_open_windows() -> None:
    """Closing goes on while reading: what comes out early is of windows that nothing later can change."""
    log = MemoryLog(PARTITIONS)
    for number in range(200):
        at = T0 + number * 1_000
        log.add(at, batch([decision(at, number)]), number % PARTITIONS)
    part = Slice(T0, T0 + 200_000)
    sizes = [len(shown) for shown, _ in decisions(entries_of(log, PARTITIONS, part, RULES), RULES, part, Counter())]
    assert sum(sizes) == 200
    assert len(sizes) > 15
    span = RULES.window_ms + RULES.attribution_ms + RULES.grace_ms
    assert max(sizes) <= (span + RULES.window_ms) / 1_000


def test_what_does_not_count_is_tallied_by_reason() -> None:
    log, part = MemoryLog(PARTITIONS), Slice(T0, T0 + 10_000)
    good, bound = decision(T0, 1), RULES.bound_ms(T0)
    other = changed(good, context=bytes(8))
    for append_ms, blob in (
        (T0, b"not facts"),
        (T0, batch([good, changed(good, kind=7)])),
        (T0 + 1, batch([other], d=4, schema_hash="0123456789abcdef")),
        (T0 + 2, batch([click_on(good, T0 + RULES.attribution_ms + 1)])),
        (T0 + 3, batch([decision(T0 + 9_999, 2)])),
        (bound - 1, batch([decision(T0 - 1, 3), decision(T0 + 10_000, 4)])),
        (bound, batch([good])),
    ):
        log.add(append_ms, blob)
    tally = Counter[str]()
    found = list(decisions(entries_of(log, PARTITIONS, part, RULES), RULES, part, tally))
    assert sum(len(shown) for shown, _ in found) == 1
    # The decision is known by two schemas' facts; what was appended at its bound is not even read.
    assert +tally == {"undecodable": 1, "counting": 2, "poison": 1, "unattributed": 1, "early": 1}


@given(
    st.lists(st.dictionaries(st.sampled_from("abcdé☃"), st.tuples(st.integers(0, 9), st.integers(-1, 99))), min_size=1)
)
def test_merging_counts_is_addition_by_name(parts: list[dict[str, tuple[int, int]]]) -> None:
    def part_of(own: dict[str, tuple[int, int]]) -> Counts:
        names = tuple(sorted(own))
        sums = np.array([[own[name][0], 1] for name in names], dtype=np.int64).reshape(-1, 2)
        latest = np.array([[own[name][1], -1] for name in names], dtype=np.int64).reshape(-1, 2)
        return Counts(names, sums, latest)

    merged = Counts.decode(merge([part_of(own) for own in parts]).encode())
    expected = sorted({name for own in parts for name in own})
    assert merged.names == tuple(expected)
    assert merged.sums.tolist() == [
        [sum(own[name][0] for own in parts if name in own), sum(name in own for own in parts)] for name in expected
    ]
    assert merged.latest[:, 0].tolist() == [max(own[name][1] for own in parts if name in own) for name in expected]


def test_prices_are_those_of_the_time() -> None:
    times = pa.array([1, 5, 3, 9], pa.timestamp("us", tz="UTC"))
    items = pa.table({"item": ["a", "a", "b", "a"], "price": [1.0, 2.0, None, 3.0], "event_timestamp": times})
    names, prices = latest_prices(items, pa.scalar(5, times.type))
    assert dict(zip(names, prices.tolist(), strict=True)) == pytest.approx({"a": 2.0, "b": np.nan}, nan_ok=True)
    assert band_codes(np.array([0.0, 49.9, 50.0, 199.9, 200.0, np.nan]), AGGREGATES).tolist() == [0, 0, 1, 1, 2, -1]
    assert columns_of_user(AGGREGATES) == 2 * (1 + 2 + 3)
