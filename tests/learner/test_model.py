"""The model that is set is the model that is fitted; what contradicts itself is refused."""

from typing import Any

import numpy as np
import pytest

from contracts import InvalidInputError
from learner import DISJOINT, HYBRID, ArmStats, LinUCB, ModelSettings, Statistics, fit_hybrid, tag_vectors

STATS = Statistics.of({arm: ArmStats.zero(2).observe(np.array([[1.0, 0.5]]), np.array([1.0])) for arm in "ab"})
TAGS = {"a": {"mood": "calm"}, "b": {"mood": "warm"}}


def test_each_kind_is_fitted_with_its_weights() -> None:
    disjoint = ModelSettings(DISJOINT, ridge=2.0, prior=3.0).fit(STATS, alpha=0.5, tags=TAGS)
    assert disjoint.to_arrow() == LinUCB.fit_statistics(STATS, alpha=0.5, ridge=2.0, prior=3.0).to_arrow()
    hybrid = ModelSettings(HYBRID, ridge=2.0, shared=(1,)).fit(STATS, alpha=0.5, tags=TAGS)
    assert hybrid.to_arrow() == fit_hybrid(STATS, tag_vectors(TAGS), (1,), alpha=0.5, ridge=2.0).to_arrow()
    assert ModelSettings().fit(STATS, alpha=0.1).to_arrow() == LinUCB.fit_statistics(STATS).to_arrow()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "cubic"}, "model = 'cubic': use disjoint or hybrid"),
        ({"ridge": 0.0}, "ridge = 0"),
        ({"prior": -1.0}, "prior = -1"),
        ({"kind": HYBRID}, "at least one shared"),
        ({"kind": HYBRID, "shared": (0,), "prior": 1.0}, "leave prior at 0"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ModelSettings(**settings)
