"""Batch replay of the event log, and the check that the stream equals it."""

from beam_pipelines.replay.compare import Identity, Snapshot, compare, differences_of, settled
from beam_pipelines.replay.evaluate import Candidate, Evaluation, evaluate
from beam_pipelines.replay.outcomes import Outcomes, outcomes
from beam_pipelines.replay.state import LineageState, ReplayedCategory, entries_in_order, replay

__all__ = [
    "Candidate",
    "Evaluation",
    "Identity",
    "LineageState",
    "Outcomes",
    "ReplayedCategory",
    "Snapshot",
    "compare",
    "differences_of",
    "entries_in_order",
    "evaluate",
    "outcomes",
    "replay",
    "settled",
]
