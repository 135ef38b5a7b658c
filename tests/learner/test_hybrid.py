"""Hybrid packs score as Algorithm 2 does, event by event; new arms begin with what their tags have taught."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts import InvalidInputError
from learner import ArmStats, LinUCB, Statistics, fit_hybrid, tag_vectors, unpack

Vector = NDArray[np.float64]


@dataclass
class Algorithm2:
    """Li et al. 2010, Algorithm 2, line by line; the ridge is in place of the paper's 1."""

    d: int
    k: int
    ridge: float
    A0: Vector = field(init=False)
    b0: Vector = field(init=False)
    A: dict[str, Vector] = field(default_factory=dict)
    B: dict[str, Vector] = field(default_factory=dict)
    b: dict[str, Vector] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.A0, self.b0 = self.ridge * np.eye(self.k), np.zeros(self.k)

    def begin(self, arm: str) -> None:
        if arm not in self.A:
            self.A[arm] = self.ridge * np.eye(self.d)
            self.B[arm] = np.zeros((self.d, self.k))
            self.b[arm] = np.zeros(self.d)

    def score(self, arm: str, x: Vector, z: Vector, alpha: float) -> float:
        self.begin(arm)
        A0i, Ai, B = np.linalg.inv(self.A0), np.linalg.inv(self.A[arm]), self.B[arm]
        beta = A0i @ self.b0
        theta = Ai @ (self.b[arm] - B @ beta)
        s = z @ A0i @ z - 2 * z @ A0i @ B.T @ Ai @ x + x @ Ai @ x + x @ Ai @ B @ A0i @ B.T @ Ai @ x
        return float(z @ beta + x @ theta + alpha * np.sqrt(s))

    def learn(self, arm: str, x: Vector, z: Vector, r: float) -> None:
        self.begin(arm)
        before = np.linalg.inv(self.A[arm])
        self.A0 += self.B[arm].T @ before @ self.B[arm]
        self.b0 += self.B[arm].T @ before @ self.b[arm]
        self.A[arm] += np.outer(x, x)
        self.B[arm] += np.outer(x, z)
        self.b[arm] += r * x
        after = np.linalg.inv(self.A[arm])
        self.A0 += np.outer(z, z) - self.B[arm].T @ after @ self.B[arm]
        self.b0 += r * z - self.B[arm].T @ after @ self.b[arm]


def observed(events: list[tuple[str, Vector, float]], d: int) -> Statistics:
    stats: dict[str, ArmStats] = {}
    for arm, x, r in events:
        stats[arm] = stats.get(arm, ArmStats.zero(d)).observe(x[None], np.array([r]))
    return Statistics.of(stats)


@given(
    st.integers(0, 10_000),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from((0.5, 1.0, 3.0)),
    st.sampled_from((0.0, 0.1, 2.0)),
)
def test_scores_equal_algorithm_2(seed: int, d: int, arms: int, tags: int, ridge: float, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = {f"arm-{i}": np.concatenate([[1.0], rng.normal(size=tags)]) for i in range(arms)}
    shared = rng.permutation(d)[: rng.integers(1, d + 1)].tolist()
    book = Algorithm2(d, (1 + tags) * len(shared), ridge)
    events = []
    for _ in range(40):
        # The last arm is never shown: it is scored by what the others taught.
        arm, x, r = f"arm-{rng.integers(max(1, arms - 1))}", rng.normal(size=d), float(rng.random() < 0.3)
        book.learn(arm, x, np.kron(vectors[arm], x[shared]), r)
        events.append((arm, x, r))
    model = fit_hybrid(observed(events, d), vectors, shared, alpha=alpha, ridge=ridge, dtype=np.float64)
    assert model.arms == tuple(vectors)
    for x in rng.normal(size=(3, d)):
        expected = [book.score(arm, x, np.kron(vector, x[shared]), alpha) for arm, vector in vectors.items()]
        np.testing.assert_allclose(model.scores(x), expected, rtol=1e-8, atol=1e-10)
        unknown = book.score("unknown", x, np.kron([1.0] + [0.0] * tags, x[shared]), alpha)
        np.testing.assert_allclose(model.aligned(("unknown",)).scores(x), [unknown], rtol=1e-8, atol=1e-10)


def test_a_hybrid_pack_is_a_pack() -> None:
    rng = np.random.default_rng(1)
    tags = tag_vectors({"a": {"mood": "calm"}, "b": {"mood": "warm"}})
    events = [("ab"[i % 2], rng.normal(size=3), float(i % 3 == 0)) for i in range(50)]
    model = fit_hybrid(observed(events, 3), tags, (0, 2), alpha=0.5)
    found = LinUCB.from_arrow(model.to_arrow(lineage="l", schema_hash="s", generation=2))
    x = rng.normal(size=3)
    for arms in (("a", "b"), ("new", "b")):
        np.testing.assert_array_equal(found.aligned(arms).scores(x), model.aligned(arms).scores(x))
    assert found.arms == ("a", "b")


def test_a_new_arm_is_liked_for_its_tags() -> None:
    names = ("oak-1", "oak-2", "tile-1", "tile-2", "oak-new", "tile-new")
    tags = tag_vectors({name: {"surface": name.partition("-")[0]} for name in names})
    events = [(arm, np.ones(1), float(arm.startswith("oak"))) for arm in names[:4] for _ in range(200)]
    model = fit_hybrid(observed(events, 1), tags, (0,), dtype=np.float64)
    oak, tile, unknown = model.aligned(("oak-new", "tile-new", "untagged")).means(np.ones((1, 1)))[0]
    assert oak > 0.6
    assert tile < 0.4
    assert tile < unknown < oak


def test_without_tags_the_shared_part_is_common_to_all() -> None:
    events = [(arm, np.ones(1), 1.0) for arm in "ab" for _ in range(50)]
    model = fit_hybrid(observed(events, 1), {}, (0,), dtype=np.float64)
    assert model.aligned(("new",)).means(np.ones((1, 1)))[0, 0] > 0.5


def test_many_decisions_lose_no_accuracy() -> None:
    rng = np.random.default_rng(4)
    d, scale = 6, 1e9
    tags = {arm: np.array([1.0, float(arm == "a")]) for arm in "abc"}
    stats = Statistics.of(
        {arm: ArmStats.zero(d).observe(x := rng.normal(size=(50, d)), x @ np.ones(d)) for arm in "abc"}
    ).discount(scale)
    model = fit_hybrid(stats, tags, range(d), alpha=1.0, dtype=np.float64)
    x = rng.normal(size=d)
    np.testing.assert_allclose(model.scores(x, alpha=0.0), np.full(3, x.sum()), rtol=1e-7)
    for packed in model.inverse:
        assert np.linalg.eigvalsh(unpack(packed, d)).min() > 0.0


def test_tags_become_a_constant_and_one_entry_a_word_in_order() -> None:
    vectors = tag_vectors({"b": {"surface": "oak", "mood": "calm"}, "a": {"mood": "warm"}, "c": {}})
    # constant, mood:calm, mood:warm, surface:oak
    assert {arm: vector.tolist() for arm, vector in vectors.items()} == {
        "b": [1.0, 1.0, 0.0, 1.0],
        "a": [1.0, 0.0, 1.0, 0.0],
        "c": [1.0, 0.0, 0.0, 0.0],
    }
    assert tag_vectors({}) == {}


@pytest.mark.parametrize(
    ("tags", "shared", "message"),
    [
        ({}, (), "at least one"),
        ({}, (0, 0), "each once"),
        ({}, (2,), "0 to 1"),
        ({"a": np.ones(2), "b": np.ones(3)}, (0,), "need one"),
        ({"a": np.array([1.0, np.nan])}, (0,), "arm 'a', entry 1 is nan"),
        ({"a": np.ones(600)}, (0, 1), "at most 1024"),
    ],
)
def test_what_cannot_be_shared_is_refused(tags: dict[str, Vector], shared: tuple[int, ...], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        fit_hybrid(Statistics.zero(2, ("a",)), tags, shared)
