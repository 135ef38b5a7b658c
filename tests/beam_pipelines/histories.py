"""Histories of facts for property tests: everything that can happen, near the bounds at which rules turn over."""

from collections.abc import Iterable

from hypothesis import strategies as st

from contracts import Fact
from tests.beam_pipelines.facts import T0, click_on, decision, settings_of

# Distances from a bound at which rules turn over.
EDGES = (-1, 0, 1)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, Fact]]:
    """Appended facts: decisions over several windows, clicks on time and not, duplicates, all near the bounds."""
    settings = settings_of()
    appended: list[tuple[int, Fact]] = []
    for seed in range(draw(st.integers(1, 25))):
        window = T0 + draw(st.integers(0, 5)) * settings.window_ms
        at = window + draw(st.sampled_from((0, 1, 5_000, settings.window_ms - 1)))
        shown = decision(at, seed, category=draw(st.sampled_from(("lamps", "chairs", "rare"))))
        bound = settings.bound_ms(window)
        times = st.one_of(
            st.sampled_from([bound + edge for edge in EDGES]),
            st.sampled_from([at - settings.grace_ms + edge for edge in EDGES]),
            st.integers(at, bound),
        )
        clicks = st.sampled_from([at + settings.attribution_ms + edge for edge in EDGES] + [at, at + 700, at - 50])
        for _ in range(draw(st.integers(0, 2))):
            appended.append((draw(times), shown))
        for _ in range(draw(st.integers(0, 2))):
            appended.append((draw(times), click_on(shown, draw(clicks))))
    return appended


WATERMARKS = st.builds(
    lambda window, edge: settings_of().bound_ms(T0 + window * 10_000) + edge,
    st.integers(-3, 6),
    st.sampled_from((-5_000, *EDGES)),
)


def batches(appended: Iterable[tuple[int, Fact]], rows: int) -> list[tuple[int, list[Fact]]]:
    """Facts as batches (append_ms, facts) of at most ``rows``, ascending by time."""
    by_time: dict[int, list[Fact]] = {}
    for append_ms, fact in appended:
        by_time.setdefault(append_ms, []).append(fact)
    return [(at, by_time[at][i : i + rows]) for at in sorted(by_time) for i in range(0, len(by_time[at]), rows)]
