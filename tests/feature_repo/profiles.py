"""Profiles for Backdrop's own repository: fresh, at the edge of their TTL, beyond it, odd and null."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

USERS, ITEMS = 60, 25
AGES_USER = (
    timedelta(hours=1),
    timedelta(days=30),
    timedelta(days=30, microseconds=1000),
    timedelta(days=200),
)
AGES_ITEM = (timedelta(0), timedelta(days=90), timedelta(days=91))
PLACEMENTS = (("billboard", 970, 250, "top"), ("square", 600, 600, "sidebar"), ("odd", 2**62, 1, "attic"))


def tables(now: datetime) -> dict[str, pa.Table]:
    rng = np.random.default_rng(7)
    return {
        "user": pa.table(
            {
                "user": [f"u{number}" for number in range(USERS)],
                "browse_segment": _pick(rng, ("minimal", "nature", "urban", "glam", "☃ unknown", "", None), USERS),
                "device": _pick(rng, ("mobile", "desktop", None), USERS),
                "price_affinity": _numbers(rng, USERS, 1.0),
                "event_timestamp": _times(now, AGES_USER, USERS),
                "not_in_the_view": [1] * USERS,
            }
        ),
        "item": pa.table(
            {
                "item": [f"i{number}" for number in range(ITEMS)],
                "category": _pick(rng, ("chairs", "lamps"), ITEMS),
                "price": _numbers(rng, ITEMS, 900.0),
                "popularity": _numbers(rng, ITEMS, 1.0),
                "url": [f"https://shop.example/{number}?q=é" for number in range(ITEMS)],
                "image_url": _pick(rng, ("/p.jpg", None), ITEMS),
                "event_timestamp": _times(now, AGES_ITEM, ITEMS),
            }
        ),
        "placement": pa.table(
            {
                "placement": [name for name, *_ in PLACEMENTS],
                "width": [width for _, width, *_ in PLACEMENTS],
                "height": [height for *_, height, _ in PLACEMENTS],
                "position": [position for *_, position in PLACEMENTS],
                "event_timestamp": _times(now, (timedelta(days=2),), len(PLACEMENTS)),
            }
        ),
    }


def _pick(rng: np.random.Generator, choices: Sequence[str | None], count: int) -> pa.Array:
    return pa.array([choices[i] for i in rng.integers(0, len(choices), count)], pa.string())


def _numbers(rng: np.random.Generator, count: int, scale: float) -> pa.Array:
    values = [float(value) for value in rng.random(count) * scale]
    values[0], values[1] = float("nan"), float("inf")
    kept: list[float | None] = [None if number % 7 == 3 else value for number, value in enumerate(values)]
    return pa.array(kept, pa.float32())


def _times(now: datetime, ages: Sequence[timedelta], count: int) -> pa.Array:
    return pa.array([now - ages[number % len(ages)] for number in range(count)], pa.timestamp("us", tz="UTC"))
