"""What is counted of decisions for each view."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beam_pipelines.features.counts import NEVER, Counts, count
from feature_repo import Aggregates

USER, ITEM, PLACEMENT = "user_stats", "item_stats", "placement_stats"
VIEWS = (USER, ITEM, PLACEMENT)
IMPRESSIONS, CLICKS = 0, 1
_NONE = -1


@dataclass(frozen=True, slots=True)
class Lookups:
    """What the log does not say: the styles of a category's arms, and the price band of each item, by index."""

    styles_of: Callable[[str], Mapping[str, int]]
    band_of: Mapping[str, int]


def columns_of_user(aggregates: Aggregates) -> int:
    """How many sums a user has: impressions and clicks, of all, then of each style, then of each price band."""
    return 2 * (1 + len(aggregates.styles) + len(aggregates.bands))


def aggregate(
    shown: pa.Table, clicked: NDArray[np.bool_], aggregates: Aggregates, lookups: Lookups
) -> dict[str, Counts]:
    """Counts by view of decisions, each given once; ``clicked`` (n,)."""
    both = np.stack([np.ones(len(shown), dtype=np.int64), clicked.astype(np.int64)], axis=1)
    decided = shown.column("decision_ms").to_numpy()
    latest = np.stack([decided, np.where(clicked, decided, NEVER)], axis=1)
    parts = [both]
    for codes, size in (
        (_styles(shown, lookups), len(aggregates.styles)),
        (_bands(shown, lookups), len(aggregates.bands)),
    ):
        hit = codes[:, None] == np.arange(size)
        parts.append((hit[:, :, None] * both[:, None, :]).reshape(len(shown), 2 * size))
    return {
        USER: count(shown.column("user"), np.concatenate(parts, axis=1), latest),
        ITEM: count(shown.column("item"), both, latest),
        PLACEMENT: count(shown.column("placement"), both, latest),
    }


def style_codes(tags: Mapping[str, Mapping[str, str]], aggregates: Aggregates) -> dict[str, int]:
    """Index of the style of each arm that has one, from the arms' tags."""
    index = {style: code for code, style in enumerate(aggregates.styles)}
    return {
        arm: index[own[aggregates.style_tag]] for arm, own in tags.items() if own.get(aggregates.style_tag) in index
    }


def band_codes(prices: NDArray[np.float64], aggregates: Aggregates) -> NDArray[np.int64]:
    """Index of the band of each price (n,); -1 where it is not a number."""
    bands = np.searchsorted(np.array(aggregates.limits), prices, side="right")
    return np.where(np.isnan(prices) | (len(aggregates.bands) == 0), _NONE, bands).astype(np.int64)


def _styles(shown: pa.Table, lookups: Lookups) -> NDArray[np.int64]:
    categories, arms = (shown.column(name).combine_chunks().dictionary_encode() for name in ("category", "arm"))
    pairs = categories.indices.to_numpy().astype(np.int64) * len(arms.dictionary) + arms.indices.to_numpy()
    distinct, rows = np.unique(pairs, return_inverse=True)
    found = np.empty(len(distinct), dtype=np.int64)
    for place, pair in enumerate(distinct.tolist()):
        category, arm = divmod(pair, len(arms.dictionary))
        styles = lookups.styles_of(categories.dictionary[category].as_py())
        found[place] = styles.get(arms.dictionary[arm].as_py(), _NONE)
    return found[rows]


def _bands(shown: pa.Table, lookups: Lookups) -> NDArray[np.int64]:
    items = shown.column("item").combine_chunks().dictionary_encode()
    found = np.array([lookups.band_of.get(name, _NONE) for name in items.dictionary.to_pylist()], dtype=np.int64)
    rows: NDArray[np.int64] = found[items.indices.to_numpy()]
    return rows


def latest_prices(items: pa.Table, as_of: pa.Scalar) -> tuple[list[str], NDArray[np.float64]]:
    """Each item's price as of a time, from ``item_profile`` rows; NaN where it has none."""
    known = items.filter(pc.less_equal(items.column("event_timestamp"), as_of)).sort_by("event_timestamp")
    last = dict(zip(known.column("item").to_pylist(), known.column("price").to_pylist(), strict=True))
    return list(last), np.array([np.nan if price is None else price for price in last.values()], dtype=np.float64)
