"""From a policy, a pack and a context to an arm: pure, no clock, no randomness but the key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts import FRESH_ARM, LINUCB, ORIGINAL, ORIGINAL_ARM, CreativeRef
from learner import LinUCB, choose_among, uniform_among

NO_PACK = "no_pack"
OTHER_SCHEMA = "other_schema"
NO_CREATIVE = "no_creative"
MAX_ALIGNMENTS = 64
_MEMO = 4096

Bounds = list[float]


@dataclass(frozen=True, slots=True)
class ServedPack:
    """A pack in memory; ``loaded_ms`` is when it was taken up.

    ``model`` has one more row than the pack has arms: its last scores any arm that has none of its own. Where the
    pack brings no row for those: A = λI and θ = 0, so the score is α √(xᵀx / λ) (Li et al. 2010, Algorithm 1 with a
    fresh arm), and it is tried at once.
    """

    model: LinUCB
    loaded_ms: int
    _aligned: dict[tuple[str, ...], Sequence[int]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Give the model its row for other arms: one model of all rows keeps equal numbers equally scored."""
        object.__setattr__(self, "model", self.model.aligned((*self.model.arms, FRESH_ARM)))

    def bounds(self, contexts: NDArray[np.int16], alpha: float) -> list[Bounds]:
        """Scores of all the model's rows at ``contexts`` (n, d) int16, a list for each context."""
        if len(contexts) == 1:
            # The product of a matrix and a vector costs half of that of two matrices.
            return [self.model.scores(contexts[0], alpha=alpha).tolist()]
        found: list[Bounds] = self.model.scores_batch(contexts, alpha=alpha).tolist()
        return found

    def of_arms(self, eligible: tuple[str, ...], bounds: Bounds) -> Bounds:
        """The scores of the eligible arms among those of all rows."""
        places = self._aligned.get(eligible)
        if places is None:
            mine = {arm: place for place, arm in enumerate(self.model.arms)}
            places = [mine.get(arm, len(mine) - 1) for arm in eligible]
            # Products of a category have nearly the same arms: a few alignments serve all requests.
            if len(self._aligned) >= MAX_ALIGNMENTS:
                self._aligned.clear()
            self._aligned[eligible] = places
        return [bounds[place] for place in places]


class Chosen(NamedTuple):
    """An arm, the probability it had, and the scores of all ``eligible`` arms (None if none were computed)."""

    arm: str
    eligible: tuple[str, ...]
    propensity: float
    generation: int
    scores: Sequence[float] | None = None
    flag: str | None = None


_THE_ORIGINAL = Chosen(ORIGINAL_ARM, (ORIGINAL_ARM,), 1.0, 0)
_NO_CREATIVE = Chosen(ORIGINAL_ARM, (ORIGINAL_ARM,), 1.0, 0, flag=NO_CREATIVE)


def eligible_arms(
    creatives: Mapping[str, CreativeRef], inactive: frozenset[str], *, include_original: bool
) -> tuple[str, ...]:
    """Arms with a creative, without paused and retired ones, in the order of their names."""
    return _eligible(tuple(creatives), inactive, include_original)


@lru_cache(maxsize=_MEMO)
def _eligible(arms: tuple[str, ...], inactive: frozenset[str], include_original: bool) -> tuple[str, ...]:
    return tuple(sorted(arm for arm in arms if arm not in inactive and (arm != ORIGINAL_ARM or include_original)))


class Scored(NamedTuple):
    """A pack with its scores of all rows at one context; ``flag`` says why there are none."""

    pack: ServedPack | None = None
    bounds: Bounds | None = None
    flag: str | None = None


def score(
    contexts: NDArray[np.int16], packs: Sequence[ServedPack | None], alphas: Sequence[float], schema_hash: str
) -> list[Scored]:
    """Score each context (n, d) of a schema by its pack at its alpha, with one product a pack."""
    found = [Scored(pack, flag=_refusal(pack, schema_hash)) for pack in packs]
    groups: dict[int, list[int]] = {}
    for row, (pack, _, flag) in enumerate(found):
        if flag is None:
            groups.setdefault(id(pack), []).append(row)
    for rows in groups.values():
        pack = packs[rows[0]]
        if pack is not None:
            part = contexts if len(rows) == len(packs) else contexts[rows]
            for row, bounds in zip(rows, pack.bounds(part, alphas[rows[0]]), strict=True):
                found[row] = Scored(pack, bounds)
    return found


def choose_arm(
    policy: str,
    eligible: tuple[str, ...],
    context: NDArray[np.int16],
    pack: ServedPack | None,
    *,
    schema_hash: str,
    alpha: float,
    epsilon: float,
    key: bytes,
) -> Chosen:
    """``choose_scored`` at one context."""
    return choose_scored(
        policy, eligible, score(context[None], [pack], [alpha], schema_hash)[0], epsilon=epsilon, key=key
    )


def choose_scored(policy: str, eligible: tuple[str, ...], scored: Scored, *, epsilon: float, key: bytes) -> Chosen:
    """Let a policy choose among ``eligible``; falls back to a uniform choice, flagged, without a usable pack.

    ``key`` is all the randomness there is. The policy ``original`` shows the original whatever is eligible.
    """
    if policy == ORIGINAL:
        return _THE_ORIGINAL
    if not eligible:
        return _NO_CREATIVE
    pack, bounds, flag = scored
    if policy == LINUCB and pack is not None and bounds is not None:
        scores = pack.of_arms(eligible, bounds)
        choice = choose_among(scores, epsilon=epsilon, key=key)
        return Chosen(eligible[choice.arm], eligible, choice.propensity, pack.model.generation, scores)
    choice = uniform_among(len(eligible), key)
    return Chosen(eligible[choice.arm], eligible, choice.propensity, 0, flag=flag if policy == LINUCB else None)


def _refusal(pack: ServedPack | None, schema_hash: str) -> str | None:
    if pack is None:
        return NO_PACK
    return None if pack.model.schema_hash == schema_hash else OTHER_SCHEMA
