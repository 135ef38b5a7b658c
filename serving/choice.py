"""From a policy, a pack and a context to an arm: pure, no clock, no randomness but the key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import LINUCB, ORIGINAL, ORIGINAL_ARM, CreativeRef
from learner import LinUCB, choose, uniform

NO_PACK = "no_pack"
OTHER_SCHEMA = "other_schema"
NO_CREATIVE = "no_creative"
MAX_ALIGNMENTS = 64


@dataclass(frozen=True, slots=True)
class ServedPack:
    """A pack in memory; ``loaded_ms`` is when it was taken up."""

    model: LinUCB
    loaded_ms: int
    _aligned: dict[tuple[str, ...], LinUCB] = field(default_factory=dict, compare=False, repr=False)

    def scores(self, eligible: tuple[str, ...], context: NDArray[np.int16], alpha: float) -> NDArray[np.floating[Any]]:
        """Scores (E,) of the eligible arms at ``context`` (d,) int16.

        An arm that the pack does not know is scored by the pack's row for fresh arms. Where it has none: A = λI and
        θ = 0, so the score is α √(xᵀx / λ) (Li et al. 2010, Algorithm 1 with a fresh arm), and it is tried at once.
        """
        model = self._aligned.get(eligible)
        if model is None:
            model = self.model.aligned(eligible)
            # Products of a category have nearly the same arms: a few alignments serve all requests.
            if len(self._aligned) >= MAX_ALIGNMENTS:
                self._aligned.clear()
            self._aligned[eligible] = model
        return model.scores(context, alpha=alpha)


@dataclass(frozen=True, slots=True)
class Chosen:
    """An arm, the probability it had, and the scores of all ``eligible`` arms (None if none were computed)."""

    arm: str
    eligible: tuple[str, ...]
    propensity: float
    generation: int
    scores: NDArray[np.floating[Any]] | None = None
    flag: str | None = None


def eligible_arms(
    creatives: Mapping[str, CreativeRef], inactive: frozenset[str], *, include_original: bool
) -> tuple[str, ...]:
    """Arms with a creative, without paused and retired ones, in the order of their names."""
    return tuple(sorted(arm for arm in creatives if arm not in inactive and (arm != ORIGINAL_ARM or include_original)))


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
    """Let a policy choose among ``eligible``; falls back to a uniform choice, flagged, without a usable pack.

    ``key`` is all the randomness there is. The policy ``original`` shows the original whatever is eligible.
    """
    if policy == ORIGINAL:
        return Chosen(ORIGINAL_ARM, (ORIGINAL_ARM,), 1.0, 0)
    if not eligible:
        return Chosen(ORIGINAL_ARM, (ORIGINAL_ARM,), 1.0, 0, flag=NO_CREATIVE)
    flag = None
    everything = np.ones(len(eligible), dtype=np.bool_)
    if policy == LINUCB:
        if pack is not None and pack.model.schema_hash == schema_hash:
            scores = pack.scores(eligible, context, alpha)
            choice = choose(scores, everything, epsilon=epsilon, key=key)
            return Chosen(eligible[choice.arm], eligible, choice.propensity, pack.model.generation, scores)
        flag = NO_PACK if pack is None else OTHER_SCHEMA
    choice = uniform(everything, key=key)
    return Chosen(eligible[choice.arm], eligible, choice.propensity, 0, flag=flag)
