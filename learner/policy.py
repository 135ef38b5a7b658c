"""Choosing an arm: best score with random ties, an epsilon of uniform choices, and the propensity in closed form."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import InvalidInputError

_UNIT = float(1 << 53)


@dataclass(frozen=True, slots=True)
class Choice:
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
    if not 0.0 <= epsilon <= 1.0:
        message = f"epsilon = {epsilon}: must be between 0 and 1"
        raise InvalidInputError(message)
    values = np.asarray(scores)[arms]
    if not np.isfinite(values).all():
        message = f"score of arm {arms[int(np.argmin(np.isfinite(values)))]} is not finite"
        raise InvalidInputError(message)
    best = arms[values == values.max()]
    first, second = _two_uniforms(key)
    explored = first < epsilon
    pool = arms if explored else best
    arm = int(pool[int(second * len(pool))])
    tied = bool(explored and arm not in best)
    return Choice(arm, epsilon / len(arms) + (0.0 if tied else (1.0 - epsilon) / len(best)), explored)


def uniform(eligible: NDArray[Any], key: bytes) -> Choice:
    """Pick any eligible arm with the same probability; ``eligible`` bool (K,) or indices.

    Raises:
        InvalidInputError: if no arm is eligible.
    """
    mask = np.asarray(eligible)
    arms = _indices(mask, len(mask) if mask.dtype == np.bool_ else int(mask.max(initial=-1)) + 1)
    _, second = _two_uniforms(key)
    return Choice(int(arms[int(second * len(arms))]), 1.0 / len(arms), explored=True)


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
        message = "no arm is eligible: at least one is needed"
        raise InvalidInputError(message)
    return arms


def _two_uniforms(key: bytes) -> tuple[float, float]:
    digest = hashlib.blake2b(key, digest_size=16, person=b"backdrop.choice").digest()
    first = int.from_bytes(digest[:8], "big") >> 11
    second = int.from_bytes(digest[8:], "big") >> 11
    return first / _UNIT, second / _UNIT
