import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import InvalidInputError, LineageError, LineageSettings, gamma_of

spans = st.integers(1, 10**7)
moments = st.integers(0, 2**42)


@st.composite
def settings(draw: st.DrawFn) -> LineageSettings:
    return LineageSettings("hash", 15, draw(spans), draw(spans), draw(spans), draw(st.integers(1, 64)))


@given(settings(), st.integers(0, 10**6))
def test_bound_is_end_plus_attribution_plus_grace(lineage: LineageSettings, number: int) -> None:
    start = number * lineage.window_ms
    end = start + lineage.window_ms
    assert lineage.bound_ms(start) == end + lineage.attribution_ms + lineage.grace_ms


@given(settings(), moments)
def test_first_open_window_is_the_oldest_whose_bound_is_ahead(lineage: LineageSettings, watermark_ms: int) -> None:
    start = lineage.first_open_window(watermark_ms)
    assert start % lineage.window_ms == 0
    assert watermark_ms < lineage.bound_ms(start)
    assert watermark_ms >= lineage.bound_ms(start - lineage.window_ms)


@given(settings(), moments, st.integers(0, 10**6))
def test_a_restart_reads_every_open_window_whole(lineage: LineageSettings, low_ms: int, number: int) -> None:
    """A fact of an open window was appended at the earliest a grace before its decision (else it is early)."""
    window = lineage.first_open_window(low_ms) + number % 100 * lineage.window_ms
    earliest_counting_append = window - lineage.grace_ms
    assert lineage.restart_ms(low_ms) < earliest_counting_append


@given(settings(), moments)
def test_what_a_restart_reads_in_part_is_closed(lineage: LineageSettings, low_ms: int) -> None:
    restart = lineage.restart_ms(low_ms)
    # The newest window of which a counting fact may lie before the restart position.
    partly = (restart - 1 + lineage.grace_ms) // lineage.window_ms * lineage.window_ms
    assert lineage.bound_ms(partly) <= low_ms


@given(settings())
def test_a_lineage_is_the_same_as_itself(lineage: LineageSettings) -> None:
    lineage.require_same("main", lineage.fingerprint())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema_hash", "other"),
        ("d", 16),
        ("window_ms", 1),
        ("attribution_ms", 1),
        ("grace_ms", 1),
        ("shards", 9),
        ("gamma", 0.5),
    ],
)
def test_every_setting_is_fixed_for_life(field: str, value: object) -> None:
    lineage = LineageSettings("hash", 15)
    other = LineageSettings(**{**dataclasses.asdict(lineage), field: value})
    assert other.fingerprint() != lineage.fingerprint()
    with pytest.raises(LineageError, match=f"{field}: stored .* set "):
        other.require_same("main", lineage.fingerprint())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("d", 0),
        ("window_ms", 0),
        ("attribution_ms", -1),
        ("grace_ms", 0),
        ("shards", 0),
        ("gamma", 0.0),
        ("gamma", 1.5),
        ("gamma", math.nan),
    ],
)
def test_settings_that_cannot_work_are_refused(field: str, value: object) -> None:
    plain = {**dataclasses.asdict(LineageSettings("hash", 15)), field: value}
    with pytest.raises(InvalidInputError, match=f"{field} = "):
        LineageSettings(**plain)


@given(st.floats(1e3, 1e10), st.integers(1, 1000))
def test_statistics_halve_in_a_half_life(half_life_ms: float, windows: int) -> None:
    window_ms = max(1, round(half_life_ms / windows))
    gamma = gamma_of(half_life_ms, window_ms)
    weight = 1.0
    for _ in range(windows):
        weight *= gamma
    assert weight == pytest.approx(0.5 ** (windows * window_ms / half_life_ms), rel=1e-8)
    LineageSettings("hash", 15, gamma=gamma)


@pytest.mark.parametrize(("half_life_ms", "message"), [(0.0, "above 0"), (math.inf, "finite"), (100.0, "too short")])
def test_a_half_life_that_cannot_be_is_refused(half_life_ms: float, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        gamma_of(half_life_ms, 300_000)
