from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from contracts import Placement, Product, Prompt
from demo.world import AFFINITIES

TAGS = sorted({tag for liked in AFFINITIES.values() for tag in liked})


@dataclass(frozen=True, slots=True)
class SmallShop:
    products: Sequence[Product]
    prompts: Sequence[Prompt]
    placements: Sequence[Placement]


def small_shop(categories: int = 4, items: int = 3, prompts: int = 5) -> SmallShop:
    rng = np.random.default_rng(11)
    return SmallShop(
        products=[
            Product(f"item-{c}-{k}", f"category-{c}", "Title", "Text", 20.0 + 10 * k, "brand", "photo.jpg")
            for c in range(categories)
            for k in range(items)
        ],
        prompts=[
            Prompt(
                f"arm-{c}-{k}",
                f"category-{c}",
                "text",
                tags={slot: str(rng.choice(TAGS)) for slot in ("surface", "scene", "light", "mood")},
            )
            for c in range(categories)
            # Categories differ in their number of arms: rows of the world are then padded.
            for k in range(prompts + c % 2)
        ],
        placements=[
            Placement("banner", 970, 250, "top"),
            Placement("square", 600, 600, "feed"),
            Placement("tall", 300, 600, "sidebar"),
        ],
    )


@pytest.fixture
def shop() -> SmallShop:
    return small_shop()
