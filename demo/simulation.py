"""The same shop without a server: requests in batches, decided and learned in process, against the same truth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts import LINUCB, ORIGINAL, POLICIES, ContextSchema, Placement, Product, TrafficPolicy
from demo.outcomes import Outcomes
from demo.population import DEVICES, SEGMENTS, Population
from demo.world import World
from learner import OnlineLinUCB

CONTEXT_SCALE = 1024.0


class RequestEncoder:
    """Contexts of requests given by codes, made by the served schema from what the shop has observed."""

    def __init__(
        self,
        schema: ContextSchema,
        population: Population,
        products: Sequence[Product],
        placements: Sequence[Placement],
        popularity: NDArray[np.float64],
    ) -> None:
        """Turn each entity's features into one row of values and codes."""
        known = population.known
        columns: Mapping[str, Sequence[object]] = {
            "user_profile:browse_segment": _masked([SEGMENTS[code] for code in population.browse_segment], known),
            "user_profile:device": _masked([DEVICES[int(mobile)] for mobile in population.mobile], known),
            "user_profile:price_affinity": _masked([float(value) for value in population.price_affinity], known),
            "item_profile:category": [product.category for product in products],
            "item_profile:price": [product.price for product in products],
            "item_profile:popularity": [float(value) for value in popularity],
            "placement_profile:width": [float(placement.width) for placement in placements],
            "placement_profile:height": [float(placement.height) for placement in placements],
            "placement_profile:position": [placement.position for placement in placements],
        }
        self._schema = schema
        self._entity = [name.partition(":")[0] for name in schema.features]
        self._values = [
            np.array(
                [np.nan if value is None else _number(schema, index, value) for value in columns[name]],
                dtype=np.float64,
            )
            for index, name in enumerate(schema.features)
        ]

    @property
    def d(self) -> int:
        """Entries of a context."""
        return self._schema.d

    def encode(
        self, users: NDArray[np.int64], items: NDArray[np.int64], placements: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Contexts x (n, d) = q / 1024 of requests given by codes (n,)."""
        codes = {"user_profile": users, "item_profile": items, "placement_profile": placements}
        raw = np.stack(
            [values[codes[entity]] for entity, values in zip(self._entity, self._values, strict=True)], axis=1
        )
        return self._schema.encode(raw, ~np.isnan(raw)) / CONTEXT_SCALE


@dataclass(frozen=True, slots=True)
class Simulation:
    """How to run in process: batches of ``batch`` decisions; what a batch taught is served ``lag`` batches later."""

    decisions: int = 2_000_000
    batch: int = 4_000
    lag: int = 1
    alpha: float = 0.1
    ridge: float = 1.0
    unseen: float = 0.04


def simulate(
    world: World,
    population: Population,
    products: Sequence[Product],
    encoder: RequestEncoder,
    traffic: TrafficPolicy,
    settings: Simulation,
    rng: np.random.Generator,
    watch: Callable[[Outcomes, int], None] = lambda outcomes, done: None,
) -> Outcomes:
    """Serve, click and learn; ``watch`` gets the columns and how many rows are done after each batch."""
    total = settings.decisions
    categories = sorted({product.category for product in products})
    category = np.array([categories.index(product.category) for product in products])
    arms = np.array([len(names) - 1 for names in world.arms])
    models = [
        OnlineLinUCB(
            world.arms[int(np.flatnonzero(category == code)[0])][1:],
            encoder.d,
            alpha=settings.alpha,
            ridge=settings.ridge,
            seed=int(rng.integers(1 << 31)),
        )
        for code in range(len(categories))
    ]
    by_user = np.array([POLICIES.index(traffic.policy_of(user)) for user in population.users])
    columns = _draw(world, population, by_user, total, rng)
    queue: list[tuple[slice, NDArray[np.float64]]] = []
    for start in range(0, total, settings.batch):
        rows = slice(start, min(total, start + settings.batch))
        users, items, slots = columns.user[rows], columns.item[rows], columns.placement[rows]
        contexts = encoder.encode(users, items, slots)
        arm = np.where(columns.policy[rows] == POLICIES.index(ORIGINAL), 0, _uniform_arms(arms[items], rng))
        for code, model in enumerate(models):
            mine = np.flatnonzero((category[items] == code) & (columns.policy[rows] == POLICIES.index(LINUCB)))
            if len(mine):
                arm[mine] = 1 + model.decide_batch(contexts[mine])[0]
        columns.arm[rows] = arm
        columns.shown[rows] = rng.random(len(arm)) >= settings.unseen
        columns.clicked[rows] = columns.shown[rows] & (
            rng.random(len(arm)) < world.probability(users, items, slots, arm)
        )
        queue.append((rows, contexts))
        if len(queue) > settings.lag:
            _learn(models, category, columns, *queue.pop(0))
        watch(columns, rows.stop)
    return columns


def _draw(
    world: World, population: Population, by_user: NDArray[np.int64], total: int, rng: np.random.Generator
) -> Outcomes:
    user = rng.choice(len(population), size=total, p=population.activity)
    return Outcomes(
        user=user,
        item=rng.choice(len(world.items), size=total, p=world.item_share),
        placement=rng.choice(len(world.placements), size=total, p=world.placement_share),
        arm=np.zeros(total, dtype=np.int64),
        policy=by_user[user],
        shown=np.zeros(total, dtype=np.bool_),
        clicked=np.zeros(total, dtype=np.bool_),
    )


def _uniform_arms(counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    return 1 + (rng.random(len(counts)) * counts).astype(np.int64)


def _learn(
    models: Sequence[OnlineLinUCB],
    category: NDArray[np.int64],
    columns: Outcomes,
    rows: slice,
    contexts: NDArray[np.float64],
) -> None:
    """Every policy's generated arms that were shown teach the one model of their category."""
    usable = columns.shown[rows] & (columns.arm[rows] > 0)
    for code, model in enumerate(models):
        mine = np.flatnonzero(usable & (category[columns.item[rows]] == code))
        if len(mine):
            rewards = columns.clicked[rows][mine].astype(np.float64)
            model.learn_batch(columns.arm[rows][mine] - 1, contexts[mine], rewards)


def _masked(values: Sequence[object], known: NDArray[np.bool_]) -> list[object]:
    return [value if seen else None for value, seen in zip(values, known, strict=True)]


def _number(schema: ContextSchema, index: int, value: object) -> float:
    return schema.code(index, value) if isinstance(value, str) else float(str(value))
