"""One conformance suite for all policies in memory."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts import InvalidInputError
from learner import (
    Choice,
    OnlineHybrid,
    OnlineLinUCB,
    Policy,
    ThompsonSampling,
    epsilon_greedy,
    highest_probability,
    tag_vectors,
)

ARMS = ("a", "b", "c")
D = 4
TAGS = tag_vectors({"a": {"mood": "calm"}, "b": {"mood": "warm"}, "c": {"mood": "calm"}})

MAKERS: dict[str, Callable[[int], Policy]] = {
    "linucb": lambda seed: OnlineLinUCB(ARMS, D, alpha=0.3, epsilon=0.05, seed=seed),
    "hybrid": lambda seed: OnlineHybrid(ARMS, D, tags=TAGS, shared=(0, 2), alpha=0.3, epsilon=0.05, seed=seed),
    "thompson": lambda seed: ThompsonSampling(ARMS, D, v=0.3, seed=seed),
    "epsilon-greedy": lambda seed: epsilon_greedy(ARMS, D, epsilon=0.1, seed=seed),
}


@pytest.fixture(params=sorted(MAKERS))
def make(request: pytest.FixtureRequest) -> Callable[[int], Policy]:
    return MAKERS[str(request.param)]


def contexts_of(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """A constant, then entries of fixed point, so that sums are exact in any order."""
    x = rng.integers(-1024, 1025, (n, D)) / 1024
    x[:, 0] = 1.0
    return x


def best_arm(x: NDArray[np.float64]) -> int:
    """The separable problem: which arm pays at x."""
    return int(np.argmax([x[1], -x[1], x[2] - 0.2]))


def taught(policy: Policy, n: int = 60, seed: int = 3) -> Policy:
    rng = np.random.default_rng(seed)
    x = contexts_of(rng, n)
    policy.learn_batch(rng.integers(0, 3, n), x, (rng.random(n) < 0.4).astype(np.float64))
    return policy


def test_it_learns_what_can_be_separated(make: Callable[[int], Policy]) -> None:
    policy, rng = make(1), np.random.default_rng(2)
    right = []
    for x in contexts_of(rng, 900):
        arm = policy.decide(x).arm
        policy.learn(arm, x, [x[1], -x[1], x[2] - 0.2][arm])
        right.append(arm == best_arm(x))
    assert np.mean(right[-300:]) > 0.85
    assert np.mean(right[-300:]) > np.mean(right[:30])


@pytest.mark.parametrize("eligible", [np.array([True, False, True]), np.array([0, 2]), np.array([1])])
def test_only_eligible_arms_are_chosen(make: Callable[[int], Policy], eligible: NDArray[np.bool_]) -> None:
    policy = taught(make(1))
    allowed = set(np.flatnonzero(eligible)) if eligible.dtype == np.bool_ else set(eligible)
    for x in contexts_of(np.random.default_rng(4), 60):
        choice = policy.decide(x, eligible)
        assert choice.arm in allowed
        assert 0.0 < choice.propensity <= 1.0 + 1e-9
        if len(allowed) == 1:
            assert choice.propensity == pytest.approx(1.0)


def test_nothing_eligible_is_refused(make: Callable[[int], Policy]) -> None:
    with pytest.raises(InvalidInputError, match="no arm is eligible"):
        make(1).decide(np.ones(D), np.zeros(3, dtype=np.bool_))


def test_propensities_are_the_shares_and_sum_to_1(make: Callable[[int], Policy]) -> None:
    for policy in (make(1), taught(make(1))):
        x = np.array([1.0, 0.25, -0.5, 0.125])
        seen: Counter[int] = Counter()
        propensity: dict[int, float] = {}
        for _ in range(3000):
            choice = policy.decide(x)
            seen[choice.arm] += 1
            propensity[choice.arm] = choice.propensity
        assert sum(propensity.values()) == pytest.approx(1.0, abs=2e-3)
        for arm, share in propensity.items():
            assert seen[arm] / 3000 == pytest.approx(share, abs=0.04)


def test_many_at_once_are_one_by_one(make: Callable[[int], Policy]) -> None:
    rng = np.random.default_rng(5)
    x, arms, rewards = contexts_of(rng, 80), rng.integers(0, 3, 80), (rng.random(80) < 0.5).astype(np.float64)
    single, many = make(7), make(7)
    for row in range(80):
        single.learn(int(arms[row]), x[row], float(rewards[row]))
    for part in (slice(0, 30), slice(30, 80)):
        many.learn_batch(arms[part], x[part], rewards[part])
    for each in contexts_of(rng, 50):
        one, other = single.decide(each), many.decide(each)
        assert (one.arm, one.explored) == (other.arm, other.explored)
        assert one.propensity == pytest.approx(other.propensity, abs=1e-9)


def test_the_seed_is_all_the_randomness(make: Callable[[int], Policy]) -> None:
    def run(seed: int) -> list[Choice]:
        policy, rng = make(seed), np.random.default_rng(6)
        choices = []
        for x in contexts_of(rng, 40):
            choice = policy.decide(x)
            policy.learn(choice.arm, x, float(x[1] > 0))
            choices.append(choice)
        return choices

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_fixed_point_contexts_are_the_same_contexts(make: Callable[[int], Policy]) -> None:
    q = np.array([[1024, 512, -3, 0], [1024, -100, 7, 2048]], dtype=np.int16)
    fixed, plain = make(1), make(1)
    for policy, x in ((fixed, q), (plain, q / 1024)):
        policy.learn(1, x[0], 1.0)
        policy.learn_batch(np.array([0, 2]), x, np.array([0.0, 1.0]))
    assert [fixed.decide(row) for row in q] == [plain.decide(row) for row in q / 1024]


def test_what_is_not_finite_is_named_and_teaches_nothing(make: Callable[[int], Policy]) -> None:
    policy, untouched = taught(make(1)), taught(make(1))
    x = np.ones((3, D))
    x[1, 2] = np.nan
    with pytest.raises(InvalidInputError, match="row 1, column 2 is nan"):
        policy.learn_batch(np.array([0, 1, 2]), x, np.ones(3))
    with pytest.raises(InvalidInputError, match="row 0, column 2 is nan"):
        policy.learn(0, x[1], 1.0)
    with pytest.raises(InvalidInputError, match="reward row 2 is inf"):
        policy.learn_batch(np.array([0, 1, 2]), np.ones((3, D)), np.array([0.0, 1.0, np.inf]))
    with pytest.raises(InvalidInputError, match="reward row 0 is nan"):
        policy.learn(0, np.ones(D), float("nan"))
    for each in contexts_of(np.random.default_rng(8), 20):
        assert policy.decide(each) == untouched.decide(each)
    with pytest.raises(InvalidInputError, match="finite"):
        policy.decide(x[1])


@pytest.mark.parametrize("contexts", [np.ones((2, 3)), np.ones((3, D)), np.ones(D)])
def test_shapes_must_fit(make: Callable[[int], Policy], contexts: NDArray[np.float64]) -> None:
    with pytest.raises(InvalidInputError, match="need"):
        make(1).learn_batch(np.array([0, 1]), contexts, np.ones(2))


@given(
    st.lists(st.tuples(st.floats(-2, 2), st.sampled_from((0.001, 0.03, 0.5, 3.0))), min_size=2, max_size=6),
)
def test_thompsons_propensities_sum_to_1(normals: list[tuple[float, float]]) -> None:
    means, deviations = (np.array(values) for values in zip(*normals, strict=True))
    rest = np.arange(len(means))
    found = [
        highest_probability(means[i], deviations[i], means[rest != i], deviations[rest != i]) for i in range(len(means))
    ]
    assert sum(found) == pytest.approx(1.0, abs=1e-3)


def test_thompsons_propensity_of_two_arms_is_known() -> None:
    # P(N(0.3, 0.5²) > N(0, 1.2²)) = Φ(0.3 / 1.3) = 0.591253
    assert highest_probability(0.3, 0.5, np.array([0.0]), np.array([1.2])) == pytest.approx(0.591253, abs=1e-4)


@pytest.mark.parametrize("v", [0.0, -1.0, float("nan")])
def test_thompson_needs_a_deviation(v: float) -> None:
    with pytest.raises(InvalidInputError, match="v = "):
        ThompsonSampling(ARMS, D, v=v)


def test_a_hybrid_learner_refuses_what_cannot_work() -> None:
    for arms in ((), ("a", "a")):
        with pytest.raises(InvalidInputError, match="each once"):
            OnlineHybrid(arms, 2, tags={}, shared=(0,))
    with pytest.raises(InvalidInputError, match="arms \\[3\\]"):
        OnlineHybrid(ARMS, 2, tags={}, shared=(0,)).learn(3, np.ones(2), 1.0)
