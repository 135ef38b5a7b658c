"""Between the log and the sums nothing is done fact by fact: as many calls for ten thousand facts as for a thousand."""

import sys
from collections.abc import Callable
from types import FrameType

from beam_pipelines.learn.chunk import FactColumns
from beam_pipelines.learn.decode import decode_entries
from beam_pipelines.learn.fold import WindowState, decode_state, delta, encode_state, fold
from beam_pipelines.learn.identities import IdentitySet
from beam_pipelines.learn.route import ShardWindow, route
from benchmarks.traffic import LINEAGE, SCHEMA, Traffic
from contracts import LineageSettings, LogEntry, Position, encode_statistics
from tests.beam_pipelines.facts import T0

SETTINGS = LineageSettings(SCHEMA, 32, shards=1)


def calls_in(work: Callable[[], object]) -> int:
    """Calls of functions, Python's and those below it, that ``work`` makes."""
    count = 0

    def see(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def learn(blob: bytes) -> None:
    """All that is done to an entry's facts, the second time as duplicates."""
    state = WindowState.zero(SETTINGS.d)
    for sequence in range(2):
        decoded = decode_entries([LogEntry(0, Position(T0 + 150_000, sequence), blob)], SETTINGS)
        ((place, facts),) = route(decoded.counting, SETTINGS).items()
        assert isinstance(place, ShardWindow)
        done = fold(state, FactColumns.decode(facts.encode()))
        state = decode_state(encode_state(done.state), IdentitySet(done.state.identities.segments))
        for category in state.facts:
            encode_statistics(
                delta(state, category, settings=SETTINGS, lineage=LINEAGE, window=place.window, shard=place.shard)
            )


def test_ten_times_the_facts_take_no_more_calls() -> None:
    few, many = (Traffic(categories=2, arms=3).batch(T0 + 140_000, rows) for rows in (1_000, 10_000))
    learn(few)
    assert calls_in(lambda: learn(many)) == calls_in(lambda: learn(few))
