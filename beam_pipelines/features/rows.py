"""From counts to feature rows: smoothed rates, popularity, recency.

A rate of c clicks in n impressions is (c + s·p) / (n + s): s impressions are lent at the prior rate p. The prior of all
is the rate of the whole horizon; of a style or band it is that style's rate there, itself smoothed towards the former.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beam_pipelines.features.aggregate import CLICKS, IMPRESSIONS, ITEM, USER, columns_of_user
from beam_pipelines.features.counts import NEVER, Counts
from beam_pipelines.learn.columns import decode_columns, encode_columns
from feature_repo import Aggregates, stats_schemas

_MS_PER_S = 1000
_US_PER_MS = 1000


@dataclass(frozen=True, slots=True)
class Totals:
    """Of the whole horizon: the ``sums`` (k,) of all users, and the impressions of the item shown most."""

    sums: NDArray[np.int64]
    most_shown: int

    @classmethod
    def zero(cls, aggregates: Aggregates) -> "Totals":
        """Of nothing."""
        return cls(np.zeros(columns_of_user(aggregates), dtype=np.int64), 0)

    @classmethod
    def of(cls, view: str, counts: Counts, aggregates: Aggregates) -> "Totals":
        """What one view's counts add."""
        zero = cls.zero(aggregates)
        if view == USER:
            return cls(counts.sums.sum(axis=0), 0)
        most = int(counts.sums[:, IMPRESSIONS].max(initial=0)) if view == ITEM else 0
        return cls(zero.sums, most)

    def plus(self, other: "Totals") -> "Totals":
        """Both together."""
        return Totals(self.sums + other.sums, max(self.most_shown, other.most_shown))

    def encode(self) -> bytes:
        """Write as a Beam element."""
        return encode_columns({"most_shown": self.most_shown}, {"sums": self.sums})

    @classmethod
    def decode(cls, data: bytes) -> "Totals":
        """Read what ``encode`` wrote."""
        meta, columns = decode_columns(data)
        return cls(columns["sums"], int(meta["most_shown"]))


def feature_rows(view: str, counts: Counts, totals: Totals, aggregates: Aggregates, as_of_ms: int) -> pa.Table:
    """The view's rows of these entities as of ``as_of_ms``, in the columns of ``stats_schemas``."""
    schema = stats_schemas(aggregates)[view]
    strength = aggregates.prior_strength
    overall = totals.sums[CLICKS] / max(int(totals.sums[IMPRESSIONS]), 1)
    shown, clicked = counts.sums[:, IMPRESSIONS], counts.sums[:, CLICKS]
    columns = [pa.array(counts.names, pa.string()), shown, clicked, _rate(clicked, shown, overall, strength)]
    if view == USER:
        for at in range(2, columns_of_user(aggregates), 2):
            prior = _rate(totals.sums[at + CLICKS], totals.sums[at + IMPRESSIONS], overall, strength)
            columns.append(_rate(counts.sums[:, at + CLICKS], counts.sums[:, at + IMPRESSIONS], prior, strength))
        columns += [_seconds(as_of_ms, counts.latest[:, which]) for which in (IMPRESSIONS, CLICKS)]
    elif view == ITEM:
        columns.append(shown / max(totals.most_shown, 1))
    columns.append(pa.array(np.full(len(counts), as_of_ms * _US_PER_MS), schema.field("event_timestamp").type))
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column).cast(kind, safe=False)
        for column, kind in zip(columns, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _rate(clicks: Any, impressions: Any, prior: Any, strength: float) -> Any:
    """Rates of counts, arrays (n,) or numbers."""
    return (clicks + strength * prior) / (impressions + strength)


def _seconds(as_of_ms: int, latest_ms: NDArray[np.int64]) -> pa.Array:
    return pa.array((as_of_ms - latest_ms) // _MS_PER_S, mask=latest_ms == NEVER)
