"""Which facts were counted: sets of (decision id, kind) as sorted columns that grow by append."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_U64 = NDArray[np.uint64]
# Bit 63 of an id's low half is fixed by the RFC's variant (10): nothing is lost where the kind takes its room.
_ONE = np.uint64(1)


def marked(low: _U64, kinds: NDArray[np.uint8]) -> _U64:
    """Low halves (n,) with the fact's kind (0 or 1) as lowest bit: the two kinds of one id are neighbours."""
    marks: _U64 = low << _ONE | kinds
    return marks


def other_kind(marks: _U64) -> _U64:
    """Marked low halves (n,) of the same ids with the other kind."""
    return marks ^ _ONE


@dataclass(frozen=True, slots=True)
class IdentitySet:
    """Identities as (high, marked low) pairs in segments, each sorted by the marked half; equal pairs occur once."""

    segments: tuple[tuple[_U64, _U64], ...] = ()

    def __len__(self) -> int:
        """Count the identities."""
        return sum(len(high) for high, _ in self.segments)

    def contains(self, high: _U64, low: _U64) -> NDArray[np.bool_]:
        """Whether each pair (n,) is in the set."""
        found = np.zeros(len(high), dtype=np.bool_)
        for highs, lows in self.segments:
            left = np.searchsorted(lows, low, "left")
            right = np.searchsorted(lows, low, "right")
            # Low halves are 62 random bits: almost always there is at most one candidate.
            for step in range(int((right - left).max(initial=0))):
                place = left + step
                there = place < right
                found[there] |= highs[place[there]] == high[there]
        return found

    def add(self, high: _U64, low: _U64) -> "IdentitySet":
        """The set with pairs (n,) that are not in it and occur once among themselves."""
        if len(high) == 0:
            return self
        segments = [*self.segments, _sorted(high, low)]
        # Merging a segment only into one of about its size keeps the work per identity logarithmic.
        while len(segments) > 1 and len(segments[-2][0]) <= 2 * len(segments[-1][0]):
            (high_b, low_b), (high_a, low_a) = segments.pop(), segments.pop()
            segments.append(_sorted(np.concatenate((high_a, high_b)), np.concatenate((low_a, low_b))))
        return IdentitySet(tuple(segments))


def _sorted(high: _U64, low: _U64) -> tuple[_U64, _U64]:
    order = np.argsort(low, kind="stable")
    return high[order], low[order]
