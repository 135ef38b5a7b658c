"""Choosing: random ties, closed-form propensities, no randomness but the key."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import InvalidInputError
from learner import choose, choose_among, uniform, uniform_among
from learner.policy import _two_uniforms

SCORES = st.lists(st.sampled_from((0.0, 0.5, 1.0)), min_size=1, max_size=6)


def key(i: int) -> bytes:
    return i.to_bytes(16, "big")


@given(SCORES, st.data(), st.sampled_from((0.0, 0.25, 1.0)), st.binary(min_size=16, max_size=16))
def test_the_choice_is_eligible_and_its_propensity_closed_form(
    scores: list[float], data: st.DataObject, epsilon: float, with_key: bytes
) -> None:
    eligible = np.array(data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)).filter(any)))
    choice = choose(np.array(scores), eligible, epsilon=epsilon, key=with_key)
    arms = np.flatnonzero(eligible)
    best = [arm for arm in arms if scores[arm] == max(scores[other] for other in arms)]
    assert choice.arm in arms
    expected = epsilon / len(arms) + ((1 - epsilon) / len(best) if choice.arm in best else 0.0)
    assert choice.propensity == pytest.approx(expected)
    assert choice == choose(np.array(scores), arms, epsilon=epsilon, key=with_key)
    if not choice.explored:
        assert choice.arm in best


def test_shares_follow_the_propensities() -> None:
    scores = np.array([1.0, 1.0, 0.0, 2.0])
    eligible = np.array([True, True, True, False])
    seen: Counter[int] = Counter()
    propensity: dict[int, float] = {}
    for i in range(8_000):
        choice = choose(scores, eligible, epsilon=0.3, key=key(i))
        seen[choice.arm] += 1
        propensity[choice.arm] = choice.propensity
    assert sum(propensity.values()) == pytest.approx(1.0)
    for arm, expected in propensity.items():
        assert seen[arm] / 8_000 == pytest.approx(expected, abs=0.025)


def test_uniform_shares_are_even() -> None:
    seen = Counter(uniform(np.array([3, 1, 4]), key(i)).arm for i in range(6_000))
    assert set(seen) == {1, 3, 4}
    assert all(count / 6_000 == pytest.approx(1 / 3, abs=0.03) for count in seen.values())
    assert uniform(np.array([False, True]), key(1)).propensity == 1.0


@pytest.mark.parametrize(
    ("scores", "eligible", "epsilon", "message"),
    [
        ([1.0, 2.0], [False, False], 0.0, "no arm is eligible"),
        ([1.0, 2.0], [True], 0.0, "shape"),
        ([1.0, float("nan")], [True, True], 0.0, "not finite"),
        ([1.0, 2.0], [True, True], 1.5, "epsilon"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(
    scores: list[float], eligible: list[bool], epsilon: float, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        choose(np.array(scores), np.array(eligible), epsilon=epsilon, key=key(0))


def test_indices_outside_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="outside 0 to 1"):
        choose(np.array([1.0, 2.0]), np.array([0, 2]), epsilon=0.0, key=key(0))


def test_an_ineligible_score_may_be_anything() -> None:
    assert choose(np.array([np.nan, 1.0]), np.array([False, True]), key=key(0)).arm == 1


@given(SCORES, st.sampled_from((0.0, 0.25, 1.0)), st.binary(max_size=16))
def test_plain_numbers_choose_as_arrays_by_the_book(scores: list[float], epsilon: float, with_key: bytes) -> None:
    first, second = _two_uniforms(with_key)
    values = np.array(scores)
    best = np.flatnonzero(values == values.max())
    pool = np.arange(len(scores)) if first < epsilon else best
    choice = choose_among(scores, epsilon=epsilon, key=with_key)
    assert choice.arm == pool[int(second * len(pool))]
    assert choice == choose(values, np.ones(len(scores), dtype=np.bool_), epsilon=epsilon, key=with_key)
    even = uniform_among(len(scores), with_key)
    assert even == uniform(np.arange(len(scores)), with_key)
    assert even.arm == int(second * len(scores))


@pytest.mark.parametrize(
    ("scores", "epsilon", "message"),
    [
        ([], 0.0, "no arm is eligible"),
        ([1.0, float("inf")], 0.0, "score of arm 1 is not finite"),
        ([1.0], -1, "epsilon"),
    ],
)
def test_plain_numbers_that_cannot_be_chosen_from_are_refused(
    scores: list[float], epsilon: float, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        choose_among(scores, epsilon=epsilon, key=key(0))
