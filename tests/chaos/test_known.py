"""What the traffic remembers counts by the definitions, as a replay of the same entries does."""

import numpy as np

from beam_pipelines.replay import replay
from contracts import LogEntry, Position
from tests.chaos.facts import ARMS, LINEAGE, clicks, decisions, encode
from tests.chaos.known import Appended, Known
from tests.chaos.world import SHORT

T0 = 1_700_000_000_000


def appended(seed: int) -> list[Appended]:
    """Entries with facts late, early, unattributed and in time, some of them twice."""
    rng = np.random.default_rng(seed)
    settings = SHORT.settings
    span_ms = settings.window_ms + settings.attribution_ms + 2 * settings.grace_ms
    entries: list[Appended] = []
    for number in range(40):
        at_ms = T0 + number * 100
        shown = decisions(at_ms + rng.integers(-span_ms, span_ms // 4, 20), np.zeros(20, np.int16), len(ARMS), rng)
        clicked = clicks(shown, rng.integers(0, 2 * settings.attribution_ms, 20))
        again = entries[rng.integers(len(entries))].rows[:5] if entries else shown[:5]
        rows = np.concatenate([shown, clicked, again])
        entries.append(Appended(0, Position(at_ms, 0), at_ms - 200 * int(rng.integers(2)), rows))
    return entries


def test_the_count_of_what_is_known_is_the_replays() -> None:
    known = Known()
    for entry in appended(1):
        known.add(entry)
    log = [LogEntry(0, entry.position, encode(entry.rows, ("lamps",))) for entry in appended(1)]
    state = replay(log, SHORT.settings, lineage=LINEAGE, watermark_ms=T0 + 60_000)
    low, high = known.counting(SHORT.settings)
    assert low == state.facts
    assert low < high
    assert {"late", "early", "unattributed"} <= set(state.tally)


def test_what_is_missing_is_named_and_may_be_forgotten() -> None:
    known = Known()
    first, second = appended(2)[:2]
    known.add(first)
    known.add(second)
    assert known.missing({0: {first.position, second.position}}) == []
    (gone,) = known.missing({0: {first.position}})
    assert gone is second
    known.forget([gone])
    assert known.facts == len(first.rows)
    assert known.missing({0: {first.position}}) == []
