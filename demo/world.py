"""The hidden truth: how likely each shopper is to click each picture of each product in each slot.

    P(click) = appetite(user) · base(item, placement) · lift(segment, item, placement, arm)

with lift 1 for the untouched photo. For a generated arm, lift = m · exp(beta · taste): taste joins what the
segment (and everyone) makes of the prompt's tags, what suits the slot, and chance. ``m`` and ``beta`` are solved
so that the whole distribution of requests, enumerated, has exactly the lifts that ``Calibration`` asks for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from contracts import ORIGINAL_ARM, InvalidInputError, Placement, Product, Prompt
from demo.population import SEGMENTS, Population

MAX_PROBABILITY = 0.95

_BISECTIONS = 80
_MAX_BETA = 60.0
_RANK_DECAY = 0.4

# How each segment takes to what a prompt shows; tags not named leave it cold.
AFFINITIES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "minimal": {
            "concrete": 1.0,
            "linen": 1.0,
            "tile": 0.4,
            "studio-gradient": 1.2,
            "shelf-wall": 0.6,
            "soft-morning": 0.6,
            "calm": 1.0,
        },
        "nature": {
            "oak": 0.5,
            "sand": 0.8,
            "grass": 1.2,
            "garden": 1.2,
            "forest": 1.2,
            "beach": 0.8,
            "bright-noon": 0.5,
            "fresh": 1.0,
        },
        "urban": {
            "slate": 1.0,
            "concrete": 0.6,
            "walnut": 0.4,
            "loft-window": 1.2,
            "city-night": 1.2,
            "cool-evening": 0.8,
            "spotlight": 0.4,
            "dramatic": 0.8,
        },
        "glam": {
            "marble": 1.2,
            "terrazzo": 0.6,
            "sunset-sky": 1.0,
            "living-room": 0.5,
            "golden-hour": 0.9,
            "spotlight": 0.7,
            "warm": 0.6,
            "playful": 0.5,
        },
    }
)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the truth must come to, and what taste is made of.

    ``base_ctr``: mean over requests for the untouched photo. ``generated_lift``: mean over requests of a uniformly
    random generated arm, over that. ``best_lift``: mean of the best arm for each request, over the random arm.
    ``segment``, ``common``, ``slot`` and ``chance`` weigh tastes of the segment, of everyone, of the slot, and noise.
    """

    base_ctr: float = 0.03
    generated_lift: float = 1.15
    best_lift: float = 2.0
    segment: float = 1.0
    common: float = 0.0
    slot: float = 0.12
    chance: float = 0.04


DEMO_WORLD = Calibration()
# The paper measured LinUCB about 5 % above a random prompt. A learner earns less than the best choice does while it
# is still learning: with the best at +10 %, LinUCB has earned +4 to +5 % in truth after 1.5 to 2 M decisions.
PAPER_WORLD = Calibration(best_lift=1.10, segment=0.4, common=1.0, slot=0.05, chance=0.02)
WORLDS: Mapping[str, Calibration] = MappingProxyType({"demo": DEMO_WORLD, "paper": PAPER_WORLD})


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Click probabilities (n,) for the same requests: untouched photo, uniformly random generated arm, best arm."""

    original: NDArray[np.float64]
    random: NDArray[np.float64]
    best: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """The truth for U users, I items, P placements and up to A arms (column 0 of ``lift`` is the photo).

    ``arms`` names the columns per item; ``lift`` (S, I, P, A) is 0 where an item has fewer arms. ``item_share``
    (I,) and ``placement_share`` (P,) are the shares of requests (each sums to 1).
    """

    calibration: Calibration
    items: tuple[str, ...]
    placements: tuple[str, ...]
    arms: tuple[tuple[str, ...], ...]
    base: NDArray[np.float64]
    lift: NDArray[np.float64]
    item_share: NDArray[np.float64]
    placement_share: NDArray[np.float64]
    segment: NDArray[np.int64]
    appetite: NDArray[np.float64]

    def probability(
        self,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        placements: NDArray[np.int64],
        arms: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Click probabilities (n,) of requests given by codes (n,)."""
        scale = self.appetite[users] * self.base[items, placements]
        return np.asarray(scale * self.lift[self.segment[users], items, placements, arms], dtype=np.float64)

    def chance(self, user: int, item: int, placement: int, arm: int) -> float:
        """Click probability of one request."""
        scale = self.appetite[user] * self.base[item, placement]
        return float(scale * self.lift[self.segment[user], item, placement, arm])

    def alternatives(
        self, users: NDArray[np.int64], items: NDArray[np.int64], placements: NDArray[np.int64]
    ) -> Alternatives:
        """What the photo, a random generated arm and the best generated arm would have earned on these requests."""
        scale = self.appetite[users] * self.base[items, placements]
        rows = self.lift[self.segment[users], items, placements, 1:]
        counts = np.array([len(arms) - 1 for arms in self.arms])[items]
        return Alternatives(scale, scale * rows.sum(axis=-1) / counts, scale * rows.max(axis=-1))

    def truth(self, activity: NDArray[np.float64]) -> tuple[float, float, float]:
        """Mean click probability of photo, random arm and best arm over all requests; ``activity`` (U,) sums to 1."""
        weight = _segment_weights(self.segment, activity * self.appetite)
        request = weight[:, None, None] * (self.base * self.item_share[:, None] * self.placement_share)[None]
        counts = np.array([len(arms) - 1 for arms in self.arms])
        generated = self.lift[..., 1:]
        return (
            float(request.sum()),
            float((request * generated.sum(axis=-1) / counts[:, None]).sum()),
            float((request * generated.max(axis=-1)).sum()),
        )


def build_world(
    population: Population,
    products: Sequence[Product],
    placements: Sequence[Placement],
    prompts: Sequence[Prompt],
    calibration: Calibration,
    rng: np.random.Generator,
) -> World:
    """Draw a truth over these shoppers, products, slots and prompts, calibrated by enumeration.

    Raises:
        InvalidInputError: if a category has no prompts or the lifts asked for cannot be had with so few of them.
    """
    by_category: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_category.setdefault(prompt.category, []).append(prompt)
    without = sorted({product.category for product in products} - by_category.keys())
    if without or not products or not placements:
        message = f"categories {without} have no prompts, or no products or placements: the world needs all three"
        raise InvalidInputError(message)
    items = len(products)
    width = max(len(group) for group in by_category.values())
    taste, exists = _tastes(products, len(placements), by_category, width, calibration, rng)
    item_share = np.exp(0.4 * np.clip(rng.standard_normal(items), -2, 2))
    placement_share = np.exp(0.2 * np.clip(rng.standard_normal(len(placements)), -2, 2))
    base = np.exp(
        0.15 * np.clip(rng.standard_normal((items, 1)), -2, 2)
        + 0.2 * np.clip(rng.standard_normal((1, len(placements))), -2, 2)
    )
    item_share /= item_share.sum()
    placement_share /= placement_share.sum()
    activity_weight = _segment_weights(population.segment, population.activity * population.appetite)
    request = activity_weight[:, None, None] * (base * item_share[:, None] * placement_share)[None]
    base *= calibration.base_ctr / request.sum()
    generated = _solve(taste, exists, request / request.sum(), calibration)
    lift = np.concatenate([np.ones((*generated.shape[:-1], 1)), generated], axis=-1)
    highest = float(population.appetite.max() * (base[None] * lift.max(axis=-1)).max())
    if highest > MAX_PROBABILITY:
        message = f"this world has a click probability of {highest:.2f}: lower base_ctr or best_lift"
        raise InvalidInputError(message)
    return World(
        calibration=calibration,
        items=tuple(product.item_id for product in products),
        placements=tuple(placement.placement for placement in placements),
        arms=tuple((ORIGINAL_ARM, *(prompt.arm for prompt in by_category[product.category])) for product in products),
        base=base,
        lift=lift,
        item_share=item_share,
        placement_share=placement_share,
        segment=population.segment,
        appetite=population.appetite,
    )


def _tastes(
    products: Sequence[Product],
    slots: int,
    by_category: Mapping[str, Sequence[Prompt]],
    width: int,
    calibration: Calibration,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Taste (S, I, P, A) and which arms exist (I, A)."""
    shared: dict[str, NDArray[np.float64]] = {}
    for category in sorted(by_category):
        prompts = by_category[category]
        tags = np.array(
            [[sum(AFFINITIES[s].get(tag, 0.0) for tag in p.tags.values()) for p in prompts] for s in SEGMENTS]
        )
        by_segment = _ranked(tags + 0.5 * rng.standard_normal(tags.shape))
        common = _ranked(rng.standard_normal((1, len(prompts))))
        slot = np.clip(rng.standard_normal((slots, len(prompts))), -2, 2)
        shared[category] = (
            calibration.segment * by_segment[:, None, :]
            + calibration.common * common[:, None, :]
            + calibration.slot * slot[None]
        )
    taste = np.zeros((len(SEGMENTS), len(products), slots, width))
    exists = np.zeros((len(products), width), dtype=np.bool_)
    for index, product in enumerate(products):
        known = shared[product.category]
        arms = known.shape[-1]
        chance = calibration.chance * np.clip(rng.standard_normal((1, 1, arms)), -2, 2)
        taste[:, index, :, :arms] = known + chance
        exists[index, :arms] = True
    return taste, exists


def _ranked(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn scores (..., K) into 1, 0.4, 0.16 ... by rank: one clear favourite, one fair second."""
    ranks = np.argsort(np.argsort(-scores, axis=-1), axis=-1)
    return np.asarray(_RANK_DECAY**ranks, dtype=np.float64)


def _solve(
    taste: NDArray[np.float64],
    exists: NDArray[np.bool_],
    request: NDArray[np.float64],
    calibration: Calibration,
) -> NDArray[np.float64]:
    """Lifts (S, I, P, A) of generated arms: bisect beta for best / random, then scale by m for random / original."""
    mask = exists[None, :, None, :]
    counts = exists.sum(axis=-1)[None, :, None]
    peak = np.where(mask, taste, -np.inf).max()

    def means(beta: float) -> tuple[NDArray[np.float64], float, float]:
        raw = np.where(mask, np.exp(beta * (taste - peak)), 0.0)
        return raw, float((request * raw.sum(axis=-1) / counts).sum()), float((request * raw.max(axis=-1)).sum())

    low, high = 0.0, _MAX_BETA
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        _, random, best = means(middle)
        low, high = (middle, high) if best < calibration.best_lift * random else (low, middle)
    raw, random, best = means(high)
    if not np.isclose(best, calibration.best_lift * random, rtol=1e-6):
        message = (
            f"the best arm can be at most {best / random:.2f} times the random one with these prompts, "
            f"{calibration.best_lift:.2f} was asked for: give each category at least 3 prompts"
        )
        raise InvalidInputError(message)
    return np.asarray(raw * (calibration.generated_lift / random), dtype=np.float64)


def _segment_weights(segment: NDArray[np.int64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.bincount(segment, weights=weight, minlength=len(SEGMENTS)), dtype=np.float64)
