import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts import CLICK, IMPRESSION, Fact, FactBatch, decode_facts, encode_facts, new_decision_id
from serving.studio.counts import FIRST_BUCKET_MS, MAX_BUCKETS, Counts, Tally, Timeline
from serving.studio.snapshot import Wanted, series_part, wanted_slots

NOW = 1_700_000_000_000


def a_fact(number: int, kind: int, policy: str = "random", arm: str = "oak", item: str = "sofa") -> Fact:
    decision_id = new_decision_id(NOW, lambda n: number.to_bytes(n, "big"))
    return Fact(kind, decision_id, NOW, NOW, "u", item, "sofas", arm, "cr", "story", policy, (arm,), 1.0, 0, b"\0\0")


def a_batch(*facts: Fact) -> FactBatch:
    return decode_facts(encode_facts(facts, d=1, schema_hash="aa", lineage="main"))


def fold(counts: Counts, *facts: Fact, at_ms: int = NOW) -> None:
    counts.fold(a_batch(*facts), at_ms, np.ones(len(facts), dtype=np.bool_))


def test_a_decision_is_shown_once_and_clicked_once() -> None:
    counts = Counts()
    fold(counts, a_fact(1, IMPRESSION), a_fact(1, IMPRESSION), a_fact(1, CLICK))
    fold(counts, a_fact(1, CLICK), a_fact(2, IMPRESSION))
    assert counts.policies == {"random": Tally(2, 1)}
    assert counts.facts == 5


def test_a_click_says_it_was_shown() -> None:
    counts = Counts()
    fold(counts, a_fact(1, CLICK))
    fold(counts, a_fact(1, IMPRESSION))
    assert counts.policies == {"random": Tally(1, 1)}


def test_what_does_not_count_is_not_counted() -> None:
    counts = Counts()
    counts.fold(a_batch(a_fact(1, IMPRESSION), a_fact(2, IMPRESSION)), NOW, np.array([False, True]))
    assert counts.policies == {"random": Tally(1, 0)}


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from([IMPRESSION, CLICK])), max_size=60),
    st.integers(1, 7),
)
def test_counts_are_sets_whatever_the_order_and_cuts(events: list[tuple[int, int]], cut: int) -> None:
    counts = Counts()
    for begin in range(0, len(events), cut):
        fold(counts, *(a_fact(number, kind) for number, kind in events[begin : begin + cut]))
    shown = {number for number, _ in events}
    clicked = {number for number, kind in events if kind == CLICK}
    assert counts.policies == ({"random": Tally(len(shown), len(clicked))} if events else {})


@given(st.lists(st.tuples(st.integers(0, 50_000_000), st.booleans()), min_size=1, max_size=80))
def test_timelines_stay_small_and_lose_nothing(points: list[tuple[int, bool]]) -> None:
    timeline = Timeline()
    for after_ms, clicked in points:
        timeline.add(NOW + after_ms, "random", 1, int(clicked))
    assert max(timeline.buckets) - min(timeline.buckets) < MAX_BUCKETS
    assert timeline.bucket_ms % FIRST_BUCKET_MS == 0
    assert sum(tallies["random"].shown for tallies in timeline.buckets.values()) == len(points)
    assert sum(tallies["random"].clicked for tallies in timeline.buckets.values()) == sum(c for _, c in points)


def test_series_run_up_and_trail() -> None:
    counts = Counts()
    for step in range(100):
        fold(counts, a_fact(step, CLICK if step < 50 else IMPRESSION), at_ms=NOW + step * FIRST_BUCKET_MS)
    part = series_part(counts)
    total, trailing = part["total"]["policies"]["random"], part["trailing"]["policies"]["random"]
    assert len(part["total"]["times_ms"]) == 100
    assert total["ctr"][0] == 1.0
    assert total["ctr"][-1] == 0.5
    assert trailing["ctr"][-1] == 0.0
    assert all(low <= rate <= high for low, rate, high in zip(total["low"], total["ctr"], total["high"], strict=True))


def test_a_policy_that_begins_later_has_nothing_before() -> None:
    counts = Counts()
    fold(counts, a_fact(1, IMPRESSION))
    fold(counts, a_fact(2, IMPRESSION, policy="linucb"), at_ms=NOW + 10 * FIRST_BUCKET_MS)
    lines = series_part(counts)["total"]["policies"]
    assert lines["linucb"]["ctr"][:-1] == [None] * 10
    assert lines["linucb"]["ctr"][-1] == 0.0


def test_slots_are_filtered() -> None:
    counts = Counts()
    fold(counts, a_fact(1, IMPRESSION, item="sofa-1"), a_fact(2, IMPRESSION, item="lamp-1"))
    assert wanted_slots(counts, Wanted()) == [("lamp-1", "story"), ("sofa-1", "story")]
    assert wanted_slots(counts, Wanted(text="SOFA")) == [("sofa-1", "story")]
    assert wanted_slots(counts, Wanted(placement="top")) == []
    assert wanted_slots(counts, Wanted(category="sofas", placement="story")) == wanted_slots(counts, Wanted())
