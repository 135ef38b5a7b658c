"""Batch replay of the event log, and the check that the stream equals it."""

from beam_pipelines.replay.compare import Identity, Snapshot, compare, differences_of, settled
from beam_pipelines.replay.state import LineageState, ReplayedCategory, entries_in_order, replay

__all__ = [
    "Identity",
    "LineageState",
    "ReplayedCategory",
    "Snapshot",
    "compare",
    "differences_of",
    "entries_in_order",
    "replay",
    "settled",
]
