"""Batch replay of the event log, and the check that the stream equals it."""

from beam_pipelines.replay.state import LineageState, ReplayedCategory, entries_in_order, replay

__all__ = ["LineageState", "ReplayedCategory", "entries_in_order", "replay"]
