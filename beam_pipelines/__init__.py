"""Beam jobs: making creatives, learning from the event log, replaying it."""

__all__: list[str] = []
