"""Choosing an arm: best score with random ties, an epsilon of uniform choices, and the propensity in closed form."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts import InvalidInputError

_UNIT = float(1 << 53)
_NONE_ELIGIBLE = "no arm is eligible: at least one is needed"


class Choice(NamedTuple):
    """The arm chosen (index into the scores), the probability with which it was, and whether at random."""

    arm: int
    propensity: float
    explored: bool


def choose(scores: NDArray[np.floating[Any]], eligible: NDArray[Any], *, epsilon: float = 0.0, key: bytes) -> Choice:
    """Pick the best of the eligible arms; with probability ``epsilon`` any of them instead.

    ``scores`` (K,); ``eligible`` bool (K,) or indices. Equal best scores share their probability: with E
    eligible arms of which m tie, P(a) = ε/E + (1-ε)/m for a tied arm and ε/E for the others. ``key`` (such
    as the decision id) is the only randomness: the same key chooses the same.

    Raises:
        InvalidInputError: if no arm is eligible, an eligible score is not finite, or epsilon is not in [0, 1].
    """
    arms = _indices(eligible, len(scores))
    values = np.asarray(scores)[arms]
    if not np.isfinite(values).all():
        message = f"score of arm {arms[int(np.argmin(np.isfinite(values)))]} is not finite"
        raise InvalidInputError(message)
    choice = choose_among(values.tolist(), epsilon=epsilon, key=key)
    return Choice(int(arms[choice.arm]), choice.propensity, choice.explored)


def choose_among(scores: Sequence[float], *, epsilon: float = 0.0, key: bytes) -> Choice:
    """``choose`` where all of a few arms are eligible: plain numbers, at a fraction of the arrays' cost.

    Raises:
        InvalidInputError: if there is no arm, a score is not finite, or epsilon is not in [0, 1].
    """
    if not 0.0 <= epsilon <= 1.0:
        message = f"epsilon = {epsilon}: must be between 0 and 1"
        raise InvalidInputError(message)
    if not scores:
        raise InvalidInputError(_NONE_ELIGIBLE)
    # Not finite if any of them is not; a sum may overflow, too.
    if not math.isfinite(sum(scores)) and not all(map(math.isfinite, scores)):
        message = f"score of arm {[math.isfinite(score) for score in scores].index(False)} is not finite"
        raise InvalidInputError(message)
    top = max(scores)
    ties = scores.count(top)
    if ties == 1 and not epsilon:
        return Choice(scores.index(top), 1.0, explored=False)
    first, second = _two_uniforms(key)
    explored = first < epsilon
    if explored:
        arm = int(second * len(scores))
    elif ties == 1:
        arm = scores.index(top)
    else:
        arm = [place for place, score in enumerate(scores) if score == top][int(second * ties)]
    share = (1.0 - epsilon) / ties if scores[arm] == top else 0.0
    return Choice(arm, epsilon / len(scores) + share, explored)


def uniform(eligible: NDArray[Any], key: bytes) -> Choice:
    """Pick any eligible arm with the same probability; ``eligible`` bool (K,) or indices.

    Raises:
        InvalidInputError: if no arm is eligible.
    """
    mask = np.asarray(eligible)
    arms = _indices(mask, len(mask) if mask.dtype == np.bool_ else int(mask.max(initial=-1)) + 1)
    choice = uniform_among(len(arms), key)
    return Choice(int(arms[choice.arm]), choice.propensity, choice.explored)


def uniform_among(arms: int, key: bytes) -> Choice:
    """``uniform`` where all of ``arms`` arms, at least one, are eligible."""
    _, second = _two_uniforms(key)
    return Choice(int(second * arms), 1.0 / arms, explored=True)


def _indices(eligible: NDArray[Any], count: int) -> NDArray[np.intp]:
    mask = np.asarray(eligible)
    if mask.dtype == np.bool_:
        if mask.shape != (count,):
            message = f"eligible has shape {mask.shape}: need ({count},)"
            raise InvalidInputError(message)
        arms = np.flatnonzero(mask)
    else:
        arms = mask.astype(np.intp)
        if arms.size and not (0 <= int(arms.min()) and int(arms.max()) < count):
            message = f"eligible arms {arms.tolist()} are outside 0 to {count - 1}"
            raise InvalidInputError(message)
    if arms.size == 0:
        raise InvalidInputError(_NONE_ELIGIBLE)
    return arms


def _two_uniforms(key: bytes) -> tuple[float, float]:
    digest = hashlib.blake2b(key, digest_size=16, person=b"backdrop.choice").digest()
    first = int.from_bytes(digest[:8], "big") >> 11
    second = int.from_bytes(digest[8:], "big") >> 11
    return first / _UNIT, second / _UNIT
