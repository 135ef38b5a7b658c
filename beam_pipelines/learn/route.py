"""Which facts count, and where each is folded: by shard of its id and window of its decision."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from beam_pipelines.learn.chunk import FactColumns
from contracts import LineageSettings, shard_of, window_of
from learner import COUNTS, REASONS, verdicts

_KEY = struct.Struct(">IQ")


@dataclass(frozen=True, slots=True, order=True)
class ShardWindow:
    """Where facts are folded together: shard number and window start (ms)."""

    shard: int
    window: int

    def to_bytes(self) -> bytes:
        """Write as a Beam key."""
        return _KEY.pack(self.shard, self.window)

    @classmethod
    def from_bytes(cls, data: bytes) -> "ShardWindow":
        """Read a Beam key."""
        return cls(*_KEY.unpack(data))


@dataclass(frozen=True, slots=True)
class Routed:
    """Counting facts by place, and how many do not count, by reason."""

    chunks: Mapping[ShardWindow, FactColumns]
    dropped: Mapping[str, int]


def route(facts: FactColumns, settings: LineageSettings) -> Routed:
    """Judge facts and split those that count by (shard, window)."""
    judged = verdicts(facts.kind.astype(np.int64), facts.decision_ms, facts.event_ms, facts.append_ms, settings)
    dropped = {
        reason: int(count) for verdict, reason in REASONS.items() if (count := np.count_nonzero(judged == verdict))
    }
    counting = facts.take(judged == COUNTS) if dropped else facts
    if len(counting) == 0:
        return Routed({}, dropped)
    ids = np.empty((len(counting), 2), dtype=">u8")
    ids[:, 0], ids[:, 1] = counting.high, counting.low
    shards = shard_of(ids.view(np.uint8).reshape(-1, 16), settings.shards)
    windows = window_of(counting.decision_ms, settings.window_ms)
    order = np.lexsort((windows, shards))
    shards, windows = shards[order], windows[order]
    starts = np.flatnonzero(np.append(True, (shards[1:] != shards[:-1]) | (windows[1:] != windows[:-1])))
    ordered = counting.take(order)
    chunks = {
        ShardWindow(int(shards[start]), int(windows[start])): ordered.take(slice(int(start), int(end)))
        for start, end in zip(starts, np.append(starts[1:], len(order)), strict=True)
    }
    return Routed(chunks, dropped)
