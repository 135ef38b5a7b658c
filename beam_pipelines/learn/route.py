"""Where each fact is folded: by shard of its id and window of its decision."""

import struct
from dataclasses import dataclass

import numpy as np

from beam_pipelines.learn.chunk import FactColumns
from contracts import LineageSettings, shard_of, window_of

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


def route(counting: FactColumns, settings: LineageSettings) -> dict[ShardWindow, FactColumns]:
    """Split facts, all of them counting, by (shard, window)."""
    if len(counting) == 0:
        return {}
    ids = np.stack((counting.high, counting.low), axis=1).astype(">u8").view(np.uint8)
    shards = shard_of(ids, settings.shards)
    windows = window_of(counting.decision_ms, settings.window_ms)
    order = np.lexsort((windows, shards))
    shards, windows = shards[order], windows[order]
    starts = np.flatnonzero(np.append(True, (shards[1:] != shards[:-1]) | (windows[1:] != windows[:-1])))
    ordered = counting.take(order)
    return {
        ShardWindow(int(shards[start]), int(windows[start])): ordered.take(slice(int(start), int(end)))
        for start, end in zip(starts, np.append(starts[1:], len(order)), strict=True)
    }
