"""Scoring: equal arms score equally to the last bit, and what cannot be scored is refused by place."""

import numpy as np
import pytest
from numpy.typing import DTypeLike

from contracts import InvalidInputError
from learner import ArmStats, LinUCB


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("k", "d"), [(3, 8), (5, 8), (10, 17), (13, 33), (50, 64), (7, 65)])
def test_equal_arms_score_equally_wherever_they_stand(k: int, d: int, dtype: DTypeLike) -> None:
    rng = np.random.default_rng(k * d)
    same = ArmStats.zero(d).observe(rng.normal(size=(50, d)), rng.random(50))
    other = ArmStats.zero(d).observe(rng.normal(size=(50, d)), rng.random(50))
    model = LinUCB.fit({f"arm-{i}": other if i == 1 else same for i in range(k)}, dtype=dtype)
    contexts = rng.normal(size=(40, d))
    equal = [i for i in range(k) if i != 1]
    for found in (model.scores_batch(contexts), np.stack([model.scores(x) for x in contexts]), model.means(contexts)):
        assert (found[:, equal] == found[:, :1]).all()
        assert (found[:, 1] != found[:, 0]).all()


def test_arms_never_shown_equal_one_whose_weights_came_out_as_minus_zero() -> None:
    model = LinUCB.fit({name: ArmStats.zero(9) for name in "abcde"}, dtype=np.float64)
    model.theta[3] = -0.0
    again = LinUCB(model.arms, model.theta, model.inverse, model.alpha, model.ridge)
    for x in np.random.default_rng(0).normal(size=(20, 9)):
        assert len(set(again.scores(x).tolist())) == 1


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1.0, 2.0], r"context \(2,\): need \(3,\)"),
        ([0.0, np.nan, 1.0], "column 1 is nan"),
        ([0.0, 1.0, -np.inf], "column 2 is -inf"),
        ([0.0, 1e30, 1e5], "column 1 is 1e.30"),
    ],
)
def test_a_context_that_cannot_be_scored_is_refused(x: list[float], message: str) -> None:
    model = LinUCB.fit({"a": ArmStats.zero(3)})
    with pytest.raises(InvalidInputError, match=message):
        model.scores(np.array(x))


@pytest.mark.parametrize("method", ["scores_batch", "means"])
def test_contexts_that_cannot_be_scored_are_refused_by_row_and_column(method: str) -> None:
    score = getattr(LinUCB.fit({"a": ArmStats.zero(3)}), method)
    contexts = np.ones((4, 3))
    contexts[2, 1] = np.nan
    with pytest.raises(InvalidInputError, match="row 2, column 1 is nan"):
        score(contexts)
    with pytest.raises(InvalidInputError, match=r"contexts \(4, 2\): need \(n, 3\)"):
        score(np.ones((4, 2)))
    with pytest.raises(InvalidInputError, match=r"need \(n, 3\)"):
        score(np.ones(3))
    assert score(np.ones((0, 3))).shape == (0, 1)
