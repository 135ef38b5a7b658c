"""Facts of one (shard, window) on their way to the fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.learn.columns import decode_columns, encode_columns

Group = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class FactColumns:
    """Facts as columns (n,): ids as two halves, ``group`` into ``groups`` of (category, policy, arm, placement).

    ``contexts`` (n, d) int16 fixed point; times in milliseconds, ``append_ms`` the log's.
    """

    kind: NDArray[np.uint8]
    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    decision_ms: NDArray[np.int64]
    event_ms: NDArray[np.int64]
    append_ms: NDArray[np.int64]
    group: NDArray[np.int32]
    contexts: NDArray[np.int16]
    groups: tuple[Group, ...]

    def __len__(self) -> int:
        """Count the facts."""
        return len(self.kind)

    @classmethod
    def empty(cls, d: int) -> "FactColumns":
        """No facts, with contexts of ``d`` entries."""
        times = np.zeros(0, dtype=np.int64)
        halves = np.zeros(0, dtype=np.uint64)
        return cls(
            np.zeros(0, dtype=np.uint8),
            halves,
            halves,
            times,
            times,
            times,
            np.zeros(0, dtype=np.int32),
            np.zeros((0, d), dtype=np.int16),
            (),
        )

    def take(self, rows: NDArray[Any] | slice) -> "FactColumns":
        """The facts at ``rows`` (indices, mask or slice)."""
        return FactColumns(
            self.kind[rows],
            self.high[rows],
            self.low[rows],
            self.decision_ms[rows],
            self.event_ms[rows],
            self.append_ms[rows],
            self.group[rows],
            self.contexts[rows],
            self.groups,
        )

    @classmethod
    def concatenate(cls, parts: "Sequence[FactColumns]", d: int) -> "FactColumns":
        """All facts in order, their groups brought to one list."""
        if not parts:
            return cls.empty(d)
        numbers: dict[Group, int] = {}
        codes = [
            np.array([numbers.setdefault(group, len(numbers)) for group in part.groups], dtype=np.int32)[part.group]
            for part in parts
        ]
        return cls(
            np.concatenate([part.kind for part in parts]),
            np.concatenate([part.high for part in parts]),
            np.concatenate([part.low for part in parts]),
            np.concatenate([part.decision_ms for part in parts]),
            np.concatenate([part.event_ms for part in parts]),
            np.concatenate([part.append_ms for part in parts]),
            np.concatenate(codes),
            np.concatenate([part.contexts for part in parts]),
            tuple(numbers),
        )

    def encode(self) -> bytes:
        """Write as bytes."""
        columns = {name: getattr(self, name) for name in _COLUMNS}
        return encode_columns({"groups": self.groups}, columns)

    @classmethod
    def decode(cls, data: bytes) -> "FactColumns":
        """Read what ``encode`` wrote."""
        meta, columns = decode_columns(data)
        groups = tuple((category, policy, arm, placement) for category, policy, arm, placement in meta["groups"])
        return cls(**{name: columns[name] for name in _COLUMNS}, groups=groups)


_COLUMNS = ("kind", "high", "low", "decision_ms", "event_ms", "append_ms", "group", "contexts")
