"""Laws of the fold: replay = naive oracle, bit for bit, whatever the order, duplicates, cuts and shards."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.learn.chunk import FactColumns
from beam_pipelines.learn.decode import decode_entries
from beam_pipelines.learn.fold import WindowState, decode_state, delta, encode_state, fold
from beam_pipelines.learn.identities import IdentitySet
from beam_pipelines.learn.route import route
from beam_pipelines.replay import replay
from contracts import Fact, InvalidInputError, LineageSettings, LogEntry, Position, StatisticsBlob
from tests.beam_pipelines.facts import LINEAGE, T0, batch, click_on, decision, entries_of, settings_of
from tests.beam_pipelines.histories import WATERMARKS, batches, histories
from tests.beam_pipelines.oracle import assert_equals_oracle, naive


@given(histories(), WATERMARKS, st.integers(1, 4), st.sampled_from((1.0, 0.9)), st.integers(1, 7))
def test_replay_equals_the_naive_oracle(
    appended: list[tuple[int, Fact]], watermark_ms: int, shards: int, gamma: float, rows: int
) -> None:
    settings = settings_of(shards=shards, gamma=gamma)
    state = replay(entries_of(batches(appended, rows)), settings, lineage=LINEAGE, watermark_ms=watermark_ms)
    assert_equals_oracle(state, naive(appended, settings, watermark_ms))


@given(histories(), st.randoms(use_true_random=False), st.integers(1, 9))
def test_order_duplicates_and_cuts_change_nothing(
    appended: list[tuple[int, Fact]], rng: random.Random, rows: int
) -> None:
    settings = settings_of(shards=1)
    entries = entries_of([(at, [fact]) for at, fact in appended])
    straight = folded(entries, settings, rows=1000)
    shuffled = entries + (rng.choices(entries, k=5) if entries else [])
    rng.shuffle(shuffled)
    again = folded(shuffled, settings, rows=rows)
    assert straight.keys() == again.keys()
    for place, state in straight.items():
        for category in state.facts:
            assert_same_blob(
                blob_of(state, category, settings, place), blob_of(again[place], category, settings, place)
            )


@given(histories(), st.integers(1, 5))
def test_state_survives_being_written_and_read(appended: list[tuple[int, Fact]], rows: int) -> None:
    settings = settings_of(shards=1)
    entries = entries_of([(at, [fact]) for at, fact in appended])
    kept = folded(entries, settings, rows=rows)
    through_bytes = folded(entries, settings, rows=rows, written=True)
    for place, state in kept.items():
        for category in state.facts:
            assert_same_blob(
                blob_of(state, category, settings, place), blob_of(through_bytes[place], category, settings, place)
            )


def test_a_click_without_an_impression_shows_its_decision() -> None:
    shown = decision(T0, 1)
    state = replay(
        entries_of([(T0 + 10, [click_on(shown, T0 + 5)])]), settings_of(), lineage=LINEAGE, watermark_ms=T0 + 100
    )
    (blob,) = state.categories["lamps"].deltas.values()
    assert (blob.version, blob.n.tolist(), blob.reward.tolist()) == (1, [1.0], [1.0])


def test_entries_at_the_watermark_are_not_read() -> None:
    entries = entries_of([(T0 + 10, [decision(T0, 1)]), (T0 + 20, [decision(T0, 2)])])
    assert replay(entries, settings_of(), lineage=LINEAGE, watermark_ms=T0 + 20).facts == 1
    assert replay(entries, settings_of(), lineage=LINEAGE, watermark_ms=T0 + 21).facts == 2


def test_entries_out_of_order_are_refused() -> None:
    entries = [LogEntry(0, Position(T0 + at, 0), batch([decision(T0, at)])) for at in (20, 10)]
    with pytest.raises(InvalidInputError, match="order of time"):
        replay(entries, settings_of(), lineage=LINEAGE, watermark_ms=T0 + 100)


def test_closing_on_the_way_equals_closing_at_the_end() -> None:
    settings = settings_of(gamma=0.5)
    facts = [
        (T0 + i * 997 + 3, decision(T0 + i * 997, i, category="rare" if i % 40 == 0 else "lamps")) for i in range(300)
    ]
    watermark_ms = T0 + 300 * 997
    whole = replay(
        entries_of([(at, [fact]) for at, fact in facts]), settings, lineage=LINEAGE, watermark_ms=watermark_ms
    )
    assert whole.windows_closed > 20
    assert_equals_oracle(whole, naive(facts, settings, watermark_ms))


def folded(
    entries: list[LogEntry], settings: LineageSettings, *, rows: int, written: bool = False
) -> dict[object, WindowState]:
    states: dict[object, WindowState] = {}
    identities: dict[object, IdentitySet] = {}
    for start in range(0, len(entries), rows):
        counting = decode_entries(entries[start : start + rows], settings).counting
        for place, facts in route(counting, settings).items():
            state = states.get(place, WindowState.zero(settings.d))
            done = fold(state, FactColumns.decode(facts.encode()) if written else facts)
            states[place] = done.state
            if written:
                identities[place] = identities.get(place, IdentitySet()).add(done.high, done.low)
                states[place] = decode_state(encode_state(done.state), identities[place])
    return states


def blob_of(state: WindowState, category: str, settings: LineageSettings, place: object) -> StatisticsBlob:
    return delta(state, category, settings=settings, lineage=LINEAGE, window=T0, shard=0)


def assert_same_blob(a: StatisticsBlob, b: StatisticsBlob) -> None:
    assert (a.version, a.arms, a.counts) == (b.version, b.arms, b.counts)
    for name in ("n", "reward", "gram", "moment"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name
