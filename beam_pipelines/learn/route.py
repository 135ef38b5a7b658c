"""Which facts count, and where each is folded: by shard of its id and window of its decision."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.learn.chunk import FactColumns
from contracts import LineageSettings, shard_of, window_of
from learner import verdicts

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


def judge(facts: FactColumns, settings: LineageSettings) -> NDArray[np.uint8]:
    """Verdicts (n,) on facts: whether each counts, and if not, why (``learner.REASONS``)."""
    return verdicts(facts.kind.astype(np.int64), facts.decision_ms, facts.event_ms, facts.append_ms, settings)


def route(counting: FactColumns, settings: LineageSettings) -> dict[ShardWindow, FactColumns]:
    """Split facts, all of them counting, by (shard, window)."""
    if len(counting) == 0:
        return {}
    ids = np.empty((len(counting), 2), dtype=">u8")
    ids[:, 0], ids[:, 1] = counting.high, counting.low
    shards = shard_of(ids.view(np.uint8).reshape(-1, 16), settings.shards)
    windows = window_of(counting.decision_ms, settings.window_ms)
    order = np.lexsort((windows, shards))
    shards, windows = shards[order], windows[order]
    starts = np.flatnonzero(np.append(True, (shards[1:] != shards[:-1]) | (windows[1:] != windows[:-1])))
    ordered = counting.take(order)
    return {
        ShardWindow(int(shards[start]), int(windows[start])): ordered.take(slice(int(start), int(end)))
        for start, end in zip(starts, np.append(starts[1:], len(order)), strict=True)
    }
