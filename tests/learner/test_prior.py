"""New arms begin with what their category knows, as strongly as is said; at strength 0 nothing changes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts import FRESH_ARM, FormatError, InvalidInputError, check_name
from learner import ArmStats, LinUCB, unpack
from serving.refresh import read_pack

Data = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]


def data_of(seed: int, d: int, k: int) -> Data:
    rng = np.random.default_rng(seed)
    return {f"arm-{i}": (rng.normal(size=(n, d)), rng.random(n)) for i, n in enumerate(rng.integers(1, 30, k))}


def stats_of(data: Data) -> dict[str, ArmStats]:
    return {arm: ArmStats.zero(x.shape[1]).observe(x, r) for arm, (x, r) in data.items()}


def oracle(data: Data, arm: str, x: NDArray[np.float64], *, alpha: float, ridge: float, prior: float) -> float:
    """The definition, decision by decision: an arm sees its own decisions, and everyone's at weight s / N each."""
    everyone = [pair for contexts, rewards in data.values() for pair in zip(contexts, rewards, strict=True)]
    own = list(zip(*data[arm], strict=True)) if arm in data else []
    a, b = ridge * np.eye(len(x)), np.zeros(len(x))
    for weight, pairs in ((1.0, own), (prior / len(everyone), everyone)):
        for context, reward in pairs:
            a += weight * np.outer(context, context)
            b += weight * reward * context
    inverse = np.linalg.inv(a)
    return float(inverse @ b @ x + alpha * np.sqrt(x @ inverse @ x))


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4), st.sampled_from((0.5, 3.0, 100.0)))
def test_old_and_new_arms_score_as_defined(seed: int, d: int, k: int, prior: float) -> None:
    data = data_of(seed, d, k)
    model = LinUCB.fit(stats_of(data), alpha=0.3, ridge=0.7, prior=prior, dtype=np.float64)
    x = np.random.default_rng(seed).normal(size=d)
    arms = ("new", *data, "other")
    expected = [oracle(data, arm, x, alpha=0.3, ridge=0.7, prior=prior) for arm in arms]
    np.testing.assert_allclose(model.aligned(arms).scores(x), expected, rtol=1e-9, atol=1e-12)
    assert model.arms == tuple(data)


def test_strength_0_is_algorithm_1_bit_for_bit() -> None:
    stats = stats_of(data_of(1, 4, 3))
    plain, without = LinUCB.fit(stats), LinUCB.fit(stats, prior=0.0)
    assert without.to_arrow() == plain.to_arrow()
    assert without.fresh is None


def test_a_strong_prior_gives_a_new_arm_the_categorys_model() -> None:
    data = data_of(2, 3, 2)
    pooled = ArmStats.zero(3)
    for contexts, rewards in data.values():
        pooled = pooled.observe(contexts, rewards)
    category = LinUCB.fit({"all": pooled}, ridge=1.0, dtype=np.float64)
    x = np.array([0.3, -1.0, 0.5])
    new = LinUCB.fit(stats_of(data), prior=pooled.n, dtype=np.float64).aligned(("new",))
    np.testing.assert_allclose(new.scores(x), category.scores(x))


def test_a_category_without_decisions_lends_nothing() -> None:
    model = LinUCB.fit({"a": ArmStats.zero(2)}, ridge=4.0, prior=50.0, dtype=np.float64)
    np.testing.assert_array_equal(model.aligned(("a", "new")).scores(np.array([1.0, 0.0]), alpha=2.0), [1.0, 1.0])


def test_the_row_for_new_arms_survives_being_written_and_is_no_arm() -> None:
    model = LinUCB.fit(stats_of(data_of(3, 3, 2)), prior=5.0)
    blob = model.to_arrow(lineage="main", schema_hash="aa", generation=7)
    found = read_pack(blob, "main")
    assert (found.arms, found.generation, found.lineage) == (model.arms, 7, "main")
    assert found.fresh is not None and model.fresh is not None
    np.testing.assert_array_equal(found.fresh.theta, model.fresh.theta)
    np.testing.assert_array_equal(found.fresh.inverse, model.fresh.inverse)
    assert found.to_arrow() == blob
    x = np.array([1.0, 0.5, -0.5])
    np.testing.assert_array_equal(found.aligned(("new", "arm-1")).scores(x), model.aligned(("new", "arm-1")).scores(x))
    assert len(found.scores(x)) == 2
    assert found.aligned(("new",)).aligned(("newer",)).scores(x) == found.aligned(("newer",)).scores(x)
    with pytest.raises(InvalidInputError):
        check_name("arm", FRESH_ARM)


def test_a_pack_with_a_broken_or_second_row_for_new_arms_is_refused() -> None:
    model = LinUCB.fit(stats_of(data_of(3, 3, 2)), prior=5.0)
    assert model.fresh is not None
    broken = replace(model, fresh=replace(model.fresh, theta=np.full(3, np.nan)))
    with pytest.raises(FormatError, match="not finite"):
        read_pack(broken.to_arrow(lineage="main"), "main")
    twice = replace(model, arms=(FRESH_ARM, "arm-1"))
    with pytest.raises(FormatError, match="names '\\*' twice"):
        read_pack(twice.to_arrow(lineage="main"), "main")


@pytest.mark.parametrize("prior", [-1.0, float("nan"), float("inf")])
def test_a_strength_that_cannot_be_is_refused(prior: float) -> None:
    with pytest.raises(InvalidInputError, match="prior"):
        LinUCB.fit({"a": ArmStats.zero(1)}, prior=prior)


def test_the_prior_is_symmetric_and_positive() -> None:
    model = LinUCB.fit(stats_of(data_of(5, 6, 3)), prior=20.0, dtype=np.float64)
    assert model.fresh is not None
    for packed in (*model.inverse, model.fresh.inverse):
        assert np.linalg.eigvalsh(unpack(packed, 6)).min() > 0.0
