"""The simulated shoppers as people: hidden tastes, what the shop has observed of them, how active they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts import InvalidInputError, Placement, Product

SEGMENTS = ("minimal", "nature", "urban", "glam")
SEGMENT_SHARES = (0.3, 0.25, 0.25, 0.2)
DEVICES = ("desktop", "mobile")

BROWSE_ACCURACY = 0.9
MOBILE_SHARE = 0.6
ACTIVITY_SPREAD = 0.9
APPETITE_SPREAD = 0.2
UNKNOWN_SHARE = 0.02
_EXTREME = 2.5


@dataclass(frozen=True, slots=True)
class Population:
    """U shoppers. Hidden: ``segment`` (code into ``SEGMENTS``) and ``appetite`` (factor on every click rate).

    Observed: ``browse_segment``, ``mobile``, ``price_affinity`` (0 to 1), but only where ``known``. ``activity``
    is each shopper's share of all page views (sum 1). All arrays are (U,).
    """

    users: tuple[str, ...]
    segment: NDArray[np.int64]
    browse_segment: NDArray[np.int64]
    mobile: NDArray[np.bool_]
    price_affinity: NDArray[np.float64]
    known: NDArray[np.bool_]
    activity: NDArray[np.float64]
    appetite: NDArray[np.float64]

    def __len__(self) -> int:
        """Count the shoppers."""
        return len(self.users)


def make_population(count: int, rng: np.random.Generator) -> Population:
    """Draw ``count`` shoppers: activity and appetite log-normal (cut at 2.5 sigma), ``appetite`` of mean 1 a view.

    Raises:
        InvalidInputError: if ``count`` is below 1.
    """
    if count < 1:
        message = f"{count} shoppers: the demo needs at least 1"
        raise InvalidInputError(message)
    segment = rng.choice(len(SEGMENTS), size=count, p=SEGMENT_SHARES)
    other = (segment + rng.integers(1, len(SEGMENTS), size=count)) % len(SEGMENTS)
    activity = _log_normal(rng, count, ACTIVITY_SPREAD)
    activity /= activity.sum()
    appetite = _log_normal(rng, count, APPETITE_SPREAD)
    return Population(
        users=tuple(f"shopper-{number:05d}" for number in range(count)),
        segment=segment,
        browse_segment=np.where(rng.random(count) < BROWSE_ACCURACY, segment, other),
        mobile=rng.random(count) < MOBILE_SHARE,
        price_affinity=rng.beta(2.0, 2.0, size=count),
        known=rng.random(count) >= UNKNOWN_SHARE,
        activity=activity,
        appetite=appetite / float(activity @ appetite),
    )


def user_table(population: Population, event_timestamp: pa.Scalar) -> pa.Table:
    """Rows of the Feast view ``user_profile``: every shopper the shop knows."""
    known = np.flatnonzero(population.known)
    return pa.table(
        {
            "user": pa.array([population.users[i] for i in known], pa.string()),
            "browse_segment": pa.array([SEGMENTS[population.browse_segment[i]] for i in known], pa.string()),
            "device": pa.array([DEVICES[int(population.mobile[i])] for i in known], pa.string()),
            "price_affinity": pa.array(population.price_affinity[known].astype(np.float32), pa.float32()),
            "event_timestamp": _repeat(event_timestamp, len(known)),
        }
    )


def item_table(
    products: Sequence[Product],
    popularity: NDArray[np.float64],
    landing_urls: Sequence[str],
    image_urls: Sequence[str],
    event_timestamp: pa.Scalar,
) -> pa.Table:
    """Rows of the Feast view ``item_profile``; ``popularity`` (I,) in 0 to 1."""
    return pa.table(
        {
            "item": pa.array([product.item_id for product in products], pa.string()),
            "category": pa.array([product.category for product in products], pa.string()),
            "price": pa.array([product.price for product in products], pa.float32()),
            "popularity": pa.array(popularity.astype(np.float32), pa.float32()),
            "url": pa.array(landing_urls, pa.string()),
            "image_url": pa.array(image_urls, pa.string()),
            "event_timestamp": _repeat(event_timestamp, len(products)),
        }
    )


def placement_table(placements: Sequence[Placement], event_timestamp: pa.Scalar) -> pa.Table:
    """Rows of the Feast view ``placement_profile``."""
    return pa.table(
        {
            "placement": pa.array([placement.placement for placement in placements], pa.string()),
            "width": pa.array([placement.width for placement in placements], pa.int64()),
            "height": pa.array([placement.height for placement in placements], pa.int64()),
            "position": pa.array([placement.position for placement in placements], pa.string()),
            "event_timestamp": _repeat(event_timestamp, len(placements)),
        }
    )


def _log_normal(rng: np.random.Generator, count: int, spread: float) -> NDArray[np.float64]:
    return np.exp(spread * np.clip(rng.standard_normal(count), -_EXTREME, _EXTREME))


def _repeat(value: pa.Scalar, count: int) -> pa.Array:
    return pa.array([value.as_py()] * count, value.type)
