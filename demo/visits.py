"""What shoppers will do, drawn ahead: who looks at which page with which items, and how each ad is treated."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.world import World


@dataclass(frozen=True, slots=True)
class Habits:
    """How shoppers (and their browsers) treat ads: shares of ads, and times in seconds.

    ``unseen``: impression never loaded. ``late``: loaded or clicked late, up to ``late_s``. ``twice``: loaded or
    clicked once more.
    """

    unseen: float = 0.04
    late: float = 0.05
    twice: float = 0.03
    prompt_s: float = 0.8
    late_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Visits:
    """M page views with k ads each. ``user``, ``placement`` (M,); all others (M, k).

    ``coin`` decides the click against the truth; ``load_s`` and ``click_s`` are waits before loading the
    impression and, after that, before the click.
    """

    user: NDArray[np.int64]
    placement: NDArray[np.int64]
    item: NDArray[np.int64]
    coin: NDArray[np.float64]
    seen: NDArray[np.bool_]
    load_s: NDArray[np.float64]
    click_s: NDArray[np.float64]
    load_twice: NDArray[np.bool_]
    click_twice: NDArray[np.bool_]

    def __len__(self) -> int:
        """Count the page views."""
        return len(self.user)

    @property
    def ads(self) -> int:
        """Ads on a page."""
        return int(self.item.shape[1])


def draw_visits(
    world: World,
    activity: NDArray[np.float64],
    decisions: int,
    ads: int,
    habits: Habits,
    rng: np.random.Generator,
) -> Visits:
    """Draw enough page views for ``decisions``, distributed as the world's truth assumes; no item twice on a page."""
    ads = max(1, min(ads, int(1 / world.item_share.max())))
    pages = -(-decisions // ads)
    shape = (pages, ads)
    late_load, late_click = rng.random(shape) < habits.late, rng.random(shape) < habits.late
    waits = rng.random((2, *shape))
    return Visits(
        user=rng.choice(len(activity), size=pages, p=activity),
        placement=rng.choice(len(world.placements), size=pages, p=world.placement_share),
        item=sample_items(world.item_share, pages, ads, rng),
        coin=rng.random(shape),
        seen=rng.random(shape) >= habits.unseen,
        load_s=np.where(late_load, habits.late_s * waits[0], 0.0),
        click_s=np.where(late_click, habits.late_s * waits[1], habits.prompt_s * waits[1]),
        load_twice=rng.random(shape) < habits.twice,
        click_twice=rng.random(shape) < habits.twice,
    )


def sample_items(share: NDArray[np.float64], pages: int, ads: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ``ads`` distinct items a page, each with probability ads · share (I,): (pages, ads).

    Systematic sampling in random order (Madow 1949): points a constant step apart on the line of shares. Needs
    ads · max(share) <= 1.
    """
    order = np.argsort(rng.random((pages, len(share))), axis=1)
    ends = np.cumsum(share[order], axis=1)
    points = (rng.random((pages, 1)) + np.arange(ads)) / ads
    places = (ends[:, None, :] <= points[:, :, None]).sum(axis=2).clip(max=len(share) - 1)
    return np.take_along_axis(order, places, axis=1)
