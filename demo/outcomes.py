"""What happened to each decision, in columns, and the sums per user and policy that reports are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts import POLICIES
from demo.world import World


@dataclass(frozen=True, slots=True)
class Outcomes:
    """N decisions: codes of user, item, placement, arm (column of the world) and policy (place in ``POLICIES``).

    ``shown``: the page loaded the impression URL. ``clicked``: the shopper clicked (implies shown).
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    placement: NDArray[np.int64]
    arm: NDArray[np.int64]
    policy: NDArray[np.int64]
    shown: NDArray[np.bool_]
    clicked: NDArray[np.bool_]

    def __len__(self) -> int:
        """Count the decisions."""
        return len(self.user)


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over decisions that were shown: ``shown`` and ``clicks`` (U, Q) by user and policy, ``policies`` (Q) names.

    ``decisions`` (Q,) counts all decisions. ``actual``, ``original``, ``random``, ``best`` (Q,) are mean click
    probabilities of the shown decisions: of the arm chosen, and of what else could have been.
    """

    policies: tuple[str, ...]
    decisions: NDArray[np.int64]
    shown: NDArray[np.float64]
    clicks: NDArray[np.float64]
    actual: NDArray[np.float64]
    original: NDArray[np.float64]
    random: NDArray[np.float64]
    best: NDArray[np.float64]


def tally(outcomes: Outcomes, world: World, policies: Sequence[str] = POLICIES) -> Tally:
    """Sum the outcomes of ``policies``; users without a shown decision have zero rows."""
    users = len(world.appetite)
    names = tuple(name for name in POLICIES if name in policies)
    column = np.full(len(POLICIES), -1)
    for place, name in enumerate(names):
        column[POLICIES.index(name)] = place
    policy = column[outcomes.policy]
    mine = policy >= 0
    seen = mine & outcomes.shown
    actual = world.probability(outcomes.user, outcomes.item, outcomes.placement, outcomes.arm)
    others = world.alternatives(outcomes.user, outcomes.item, outcomes.placement)
    count = np.maximum(np.bincount(policy[seen], minlength=len(names)), 1)

    def by_user(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        flat = outcomes.user[chosen] * len(names) + policy[chosen]
        return np.bincount(flat, minlength=users * len(names)).reshape(users, len(names)).astype(np.float64)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(policy[seen], weights=values[seen], minlength=len(names)) / count)

    return Tally(
        policies=names,
        decisions=np.bincount(policy[mine], minlength=len(names)),
        shown=by_user(seen),
        clicks=by_user(seen & outcomes.clicked),
        actual=mean(actual),
        original=mean(others.original),
        random=mean(others.random),
        best=mean(others.best),
    )
