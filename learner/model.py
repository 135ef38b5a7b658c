"""Which model a category is scored with, and its weights: one value, from the settings to the pack."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from contracts import InvalidInputError
from learner.hybrid import fit_hybrid, tag_vectors
from learner.linucb import LinUCB, check_weights
from learner.statistics import Statistics

DISJOINT = "disjoint"
HYBRID = "hybrid"
MODELS = (DISJOINT, HYBRID)

_NO_TAGS: Mapping[str, Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """``kind`` is disjoint (Li et al. 2010, Algorithm 1) or hybrid (Algorithm 2); the same for every category.

    ``prior`` is how many decisions of the category's average arm every arm is lent (disjoint only: in a hybrid model
    the shared part does that). ``shared`` are the context's entries in a hybrid model's shared part.
    """

    kind: str = DISJOINT
    ridge: float = 1.0
    prior: float = 0.0
    shared: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            InvalidInputError: naming the value and the rule.
        """
        if self.kind not in MODELS:
            message = f"model = {self.kind!r}: use {' or '.join(MODELS)}"
            raise InvalidInputError(message)
        check_weights(alpha=0.0, ridge=self.ridge, prior=self.prior)
        if self.kind == HYBRID and self.prior:
            message = f"prior = {self.prior}: a hybrid model lends new arms its shared part, so leave prior at 0"
            raise InvalidInputError(message)
        if self.kind == HYBRID and not self.shared:
            message = "a hybrid model needs at least one shared entry of the context"
            raise InvalidInputError(message)

    def fit(self, stats: Statistics, *, alpha: float, tags: Mapping[str, Mapping[str, str]] = _NO_TAGS) -> LinUCB:
        """Fit the model in float64 and keep it in float32; ``tags`` by arm (name -> word) are for a hybrid model.

        Raises:
            NumericalError: if an arm's matrix cannot be solved.
        """
        if self.kind == HYBRID:
            return fit_hybrid(stats, tag_vectors(tags), self.shared, alpha=alpha, ridge=self.ridge)
        return LinUCB.fit_statistics(stats, alpha=alpha, ridge=self.ridge, prior=self.prior)
