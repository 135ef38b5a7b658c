"""The fold: facts of one (shard, window) into statistics, by set semantics (design, ideas 4 and 5).

A decision is shown iff any counting fact of it exists, clicked iff a counting click does. The facts of one
decision carry the same arm and context, because both are opened from the one token that sealed them; so
whichever of them comes first may bring G and n, and order cannot matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.learn.chunk import FactColumns
from beam_pipelines.learn.columns import decode_columns, encode_columns
from beam_pipelines.learn.identities import IdentitySet, marked, other_kind
from contracts import CLICK, CountKey, LineageSettings, StatisticsBlob, packed_length
from learner import pack, require_exact

Row = tuple[str, str]
Group = tuple[str, str, str, str]

# Contexts are q / 1024, so products of two are multiples of 2**-20.
_UNIT = 2.0**-10
_UNIT_SQUARED = 2.0**-20
_KIND = np.uint64(1)
_INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class WindowState:
    """What one (shard, window) has counted.

    ``rows`` (category, arm) index ``n``, ``reward`` (R,), ``gram`` (R, P), ``moment`` (R, d); ``groups`` (category,
    policy, arm, placement) index ``shown``, ``clicked`` (M,); ``facts`` counts by category.
    """

    identities: IdentitySet
    rows: tuple[Row, ...]
    n: NDArray[np.float64]
    reward: NDArray[np.float64]
    gram: NDArray[np.float64]
    moment: NDArray[np.float64]
    groups: tuple[Group, ...]
    shown: NDArray[np.int64]
    clicked: NDArray[np.int64]
    facts: Mapping[str, int] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Memory of its arrays."""
        halves = sum(high.nbytes + low.nbytes for high, low in self.identities.segments)
        return int(halves + sum(getattr(self, name).nbytes for name in _ARRAYS))

    @classmethod
    def zero(cls, d: int) -> "WindowState":
        """Nothing counted yet."""
        none = np.zeros(0)
        counts = np.zeros(0, dtype=np.int64)
        return cls(IdentitySet(), (), none, none, np.zeros((0, packed_length(d))), np.zeros((0, d)), (), counts, counts)


@dataclass(frozen=True, slots=True)
class Folded:
    """State after a fold, and the identities (high, marked low) that it added."""

    state: WindowState
    high: NDArray[np.uint64]
    low: NDArray[np.uint64]


def fold(state: WindowState, facts: FactColumns) -> Folded:
    """Count those facts (all of them counting ones of this shard and window) not counted before."""
    fresh, shown, low = _fresh(state.identities, facts)
    counted = facts.take(fresh)
    rows, groups, fact_rows, fact_groups = _tables(state, counted)
    clicked = counted.kind == CLICK

    n = _grown(state.n, len(rows))
    reward = _grown(state.reward, len(rows))
    gram = _grown(state.gram, len(rows))
    moment = _grown(state.moment, len(rows))
    n += np.bincount(fact_rows[shown], minlength=len(rows))
    reward += np.bincount(fact_rows[clicked], minlength=len(rows))
    _add_gram(gram, fact_rows[shown], counted.contexts[shown])
    _add_moment(moment, fact_rows[clicked], counted.contexts[clicked])

    by_row = np.bincount(fact_rows, minlength=len(rows))
    by_category = dict(state.facts)
    for row in np.flatnonzero(by_row):
        category = rows[row][0]
        by_category[category] = by_category.get(category, 0) + int(by_row[row])
    return Folded(
        WindowState(
            state.identities.add(counted.high, low),
            rows,
            n,
            reward,
            gram,
            moment,
            groups,
            _grown(state.shown, len(groups)) + np.bincount(fact_groups[shown], minlength=len(groups)),
            _grown(state.clicked, len(groups)) + np.bincount(fact_groups[clicked], minlength=len(groups)),
            by_category,
        ),
        counted.high,
        low,
    )


def delta(
    state: WindowState, category: str, *, settings: LineageSettings, lineage: str, window: int, shard: int
) -> StatisticsBlob:
    """A category's statistics of this (window, shard), whole; arms ascending.

    Raises:
        NumericalError: if sums have left the range in which they are exact.
    """
    arms = sorted((arm, row) for row, (name, arm) in enumerate(state.rows) if name == category)
    places = [row for _, row in arms]
    counts: dict[CountKey, tuple[float, float]] = {
        (policy, arm, placement): (float(state.shown[i]), float(state.clicked[i]))
        for i, (name, policy, arm, placement) in enumerate(state.groups)
        if name == category
    }
    gram = state.gram[places]
    require_exact(gram, settings.d, f"category {category!r}, window {window}, shard {shard}")
    return StatisticsBlob(
        lineage=lineage,
        schema_hash=settings.schema_hash,
        version=state.facts.get(category, 0),
        window=window,
        shard=shard,
        through=-1,
        arms=tuple(arm for arm, _ in arms),
        n=state.n[places],
        reward=state.reward[places],
        gram=gram,
        moment=state.moment[places],
        counts=counts,
    )


def encode_state(state: WindowState) -> bytes:
    """Write everything but the identities, which are kept beside it by append."""
    return encode_columns(
        {
            "rows": state.rows,
            "groups": state.groups,
            "facts": dict(state.facts),
        },
        {name: getattr(state, name) for name in _ARRAYS},
    )


def decode_state(data: bytes, identities: IdentitySet) -> WindowState:
    """Read what ``encode_state`` wrote."""
    meta, columns = decode_columns(data)
    return WindowState(
        identities=identities,
        rows=tuple((category, arm) for category, arm in meta["rows"]),
        groups=tuple((category, policy, arm, placement) for category, policy, arm, placement in meta["groups"]),
        facts=meta["facts"],
        **{name: columns[name] for name in _ARRAYS},
    )


_ARRAYS = ("n", "reward", "gram", "moment", "shown", "clicked")


def _fresh(known: IdentitySet, facts: FactColumns) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.uint64]]:
    """Rows (m,) of facts counted for the first time, whether each is its decision's first, their marked low halves."""
    marks = marked(facts.low, facts.kind)
    order = np.argsort(marks)
    high, low = facts.high[order], marks[order]
    if bool((high[1:] != high[:-1])[low[1:] | _KIND == low[:-1] | _KIND].any()):
        # Equal low halves of different ids: they must not stand between the facts of one id.
        order = np.lexsort((marks & _KIND, facts.high, marks | _KIND))
        high, low = facts.high[order], marks[order]
    again = np.zeros(len(order), dtype=np.bool_)
    again[1:] = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    fresh = np.flatnonzero(~again & ~known.contains(high, low))
    high, low = high[fresh], low[fresh]
    first = ~known.contains(high, other_kind(low))
    # The two kinds of one id are neighbours, the impression before the click.
    first[1:] &= (high[1:] != high[:-1]) | (low[1:] != other_kind(low[:-1]))
    return order[fresh], first, low


def _tables(
    state: WindowState, facts: FactColumns
) -> tuple[tuple[Row, ...], tuple[Group, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Row and group tables with what the facts bring, and each fact's place in either."""
    _, examples, combination = np.unique(_combined(facts), return_index=True, return_inverse=True)
    rows = {row: i for i, row in enumerate(state.rows)}
    groups = {group: i for i, group in enumerate(state.groups)}
    row_of = np.empty(len(examples), dtype=np.int64)
    group_of = np.empty(len(examples), dtype=np.int64)
    for number, codes in enumerate(facts.codes[examples].tolist()):
        category, policy, arm, placement = (names[code] for names, code in zip(facts.names, codes, strict=True))
        row_of[number] = rows.setdefault((category, arm), len(rows))
        group_of[number] = groups.setdefault((category, policy, arm, placement), len(groups))
    return tuple(rows), tuple(groups), row_of[combination], group_of[combination]


def _combined(facts: FactColumns) -> NDArray[np.int64]:
    """A number (n,) for each fact, equal iff all its names are."""
    combined, bound = np.zeros(len(facts), dtype=np.int64), 1
    for column, names in enumerate(facts.names):
        bound *= max(len(names), 1)
        if bound > _INT64_MAX:
            # Numbered afresh, what is there so far is below the number of facts.
            combined = np.unique(combined, return_inverse=True)[1].astype(np.int64)
            bound = max(len(facts), 1) * max(len(names), 1)
        combined = combined * max(len(names), 1) + facts.codes[:, column]
    return combined


def _grown(values: NDArray[Any], length: int) -> NDArray[Any]:
    grown = np.zeros((length, *values.shape[1:]), dtype=values.dtype)
    grown[: len(values)] = values
    return grown


def _add_gram(gram: NDArray[np.float64], rows: NDArray[np.int64], contexts: NDArray[np.int16]) -> None:
    """Add Σ x xᵀ by row: one rank-k product for each row; whole numbers below 2**53, so every sum is exact."""
    order, present, starts, ends = _runs(rows)
    values = contexts[order].astype(np.float64)
    products = np.empty((len(present), values.shape[1], values.shape[1]))
    for product, start, end in zip(products, starts, ends, strict=True):
        part = values[start:end]
        np.matmul(part.T, part, out=product)
    gram[present] += pack(products) * _UNIT_SQUARED


def _add_moment(moment: NDArray[np.float64], rows: NDArray[np.int64], contexts: NDArray[np.int16]) -> None:
    """Add Σ x by row, in whole numbers."""
    order, present, starts, _ = _runs(rows)
    if len(order):
        moment[present] += np.add.reduceat(contexts[order].astype(np.int64), starts, axis=0) * _UNIT


def _runs(rows: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.intp], NDArray[np.intp]]:
    """Order that brings equal rows together, the distinct rows, and where each one's run starts and ends."""
    order = np.argsort(rows, kind="stable")
    present, starts = np.unique(rows[order], return_index=True)
    return order, present, starts, np.append(starts, len(order))[1:]
