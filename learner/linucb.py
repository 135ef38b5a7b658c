"""LinUCB packs: fitted in float64, kept and scored in float32 (Li et al. 2010; here Algorithm 1, disjoint)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from contracts import (
    FRESH_ARM,
    FormatError,
    InvalidInputError,
    NumericalError,
    PackBlob,
    decode_pack,
    encode_pack,
    packed_length,
)
from learner.packed import diagonal, pack, unpack
from learner.scoring import bounds, bounds_batch, real_row, real_rows, twins
from learner.statistics import ArmStats, Statistics, require_finite

_Array = NDArray[np.floating[Any]]
# Below this size one general inverse is quicker than halves.
_LEAF = 16


@dataclass(frozen=True, slots=True)
class FreshArm:
    """What an arm without statistics of its own is scored with: ``theta`` (d,), ``inverse`` (P,)."""

    theta: _Array
    inverse: _Array


@dataclass(frozen=True, slots=True)
class LinUCB:
    """What one category is scored with: ``theta`` (K, d), ``inverse`` (K, P) packed A⁻¹ with A = ridge·I + G.

    ``fresh`` stands for any arm without a row; None means θ = 0 and A = ridge·I.
    Contexts of dtype int16 are fixed point (x = q / 1024); any other dtype is taken as x itself.
    """

    arms: tuple[str, ...]
    theta: _Array
    inverse: _Array
    alpha: float
    ridge: float
    lineage: str = ""
    schema_hash: str = ""
    generation: int = 0
    fresh: FreshArm | None = None
    _twins: NDArray[np.intp] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_twins", twins(self.theta, self.inverse))

    @classmethod
    def fit(
        cls,
        stats: Mapping[str, ArmStats],
        *,
        alpha: float = 0.1,
        ridge: float = 1.0,
        prior: float = 0.0,
        dtype: DTypeLike = np.float32,
    ) -> "LinUCB":
        """Solve A θ = b for every arm by Cholesky in float64, then store as ``dtype``.

        ``prior`` = s lends every arm, a new one too, s decisions of the category's average arm: A = ridge·I + G + s·Ḡ
        and b + s·b̄, with Ḡ and b̄ the category's sums per decision. 0 is Algorithm 1 as it stands.

        Raises:
            InvalidInputError: if ``ridge`` is not above 0, ``alpha`` or ``prior`` negative, or arms differ in size.
            NumericalError: if an arm's matrix cannot be solved.
        """
        return cls.fit_statistics(Statistics.of(stats), alpha=alpha, ridge=ridge, prior=prior, dtype=dtype)

    @classmethod
    def fit_statistics(
        cls,
        stats: Statistics,
        *,
        alpha: float = 0.1,
        ridge: float = 1.0,
        prior: float = 0.0,
        dtype: DTypeLike = np.float32,
    ) -> "LinUCB":
        """The same from statistics side by side."""
        check_weights(alpha=alpha, ridge=ridge, prior=prior)
        require_finite(stats)
        rows = stats.with_prior(prior, FRESH_ARM) if prior else stats
        inverse = inverses(rows.gram, rows.d, ridge, rows.arms)
        theta = np.einsum("kij,kj->ki", inverse, rows.moment)
        return cls.of_rows(rows.arms, theta.astype(dtype), pack(inverse).astype(dtype), alpha=alpha, ridge=ridge)

    @classmethod
    def of_rows(cls, arms: Sequence[str], theta: _Array, inverse: _Array, *, alpha: float, ridge: float) -> "LinUCB":
        """Put a model together from rows (K, …); one named ``contracts.FRESH_ARM`` stands for arms without a row."""
        model = cls(tuple(arms), theta, inverse, float(alpha), float(ridge))
        if FRESH_ARM not in model.arms:
            return model
        at = model.arms.index(FRESH_ARM)
        kept = np.arange(len(arms)) != at
        return replace(
            model,
            arms=tuple(arm for arm in model.arms if arm != FRESH_ARM),
            theta=theta[kept],
            inverse=inverse[kept],
            fresh=FreshArm(theta[at], inverse[at]),
        )

    @property
    def d(self) -> int:
        """Entries of a context."""
        return int(self.theta.shape[1])

    def means(self, contexts: NDArray[Any]) -> _Array:
        """Expected reward (n, K) of contexts (n, d).

        Raises:
            InvalidInputError: on contexts that do not fit or are not finite, here as in the scores.
        """
        means: _Array = real_rows(contexts, self.d).astype(self.theta.dtype) @ self.theta.T
        return means if self._twins is None else means[:, self._twins]

    def scores(self, x: NDArray[Any], *, alpha: float | None = None) -> _Array:
        """Upper confidence bounds (K,) of one context (d,): θᵀx + α √(xᵀ A⁻¹ x); equal for equal arms."""
        weight = self.alpha if alpha is None else alpha
        found = bounds(self.theta, self.inverse, real_row(x, self.theta.shape[1]), weight)
        return found if self._twins is None else found[self._twins]

    def scores_batch(self, contexts: NDArray[Any], *, alpha: float | None = None) -> _Array:
        """Upper confidence bounds (n, K) of contexts (n, d)."""
        weight = self.alpha if alpha is None else alpha
        found = bounds_batch(self.theta, self.inverse, real_rows(contexts, self.d), weight)
        return found if self._twins is None else found[:, self._twins]

    def aligned(self, arms: Sequence[str]) -> "LinUCB":
        """The same for exactly ``arms``, in that order; one not known here is as ``fresh``."""
        if tuple(arms) == self.arms:
            return self
        mine = {arm: i for i, arm in enumerate(self.arms)}
        here = [i for i, arm in enumerate(arms) if arm in mine]
        there = [mine[arm] for arm in arms if arm in mine]
        theta = np.zeros((len(arms), self.d), dtype=self.theta.dtype)
        inverse = np.zeros((len(arms), packed_length(self.d)), dtype=self.inverse.dtype)
        if self.fresh is None:
            inverse[:, diagonal(self.d)] = 1.0 / self.ridge
        else:
            theta[:], inverse[:] = self.fresh.theta, self.fresh.inverse
        theta[here] = self.theta[there]
        inverse[here] = self.inverse[there]
        return replace(self, arms=tuple(arms), theta=theta, inverse=inverse)

    def to_arrow(self, *, lineage: str = "", schema_hash: str = "", generation: int = 0) -> bytes:
        """Write as a pack blob (docs/formats.md), float32; ``fresh`` is its last row."""
        arms, theta, inverse = self.arms, self.theta, self.inverse
        if self.fresh is not None:
            arms = (*arms, FRESH_ARM)
            theta = np.concatenate([theta, self.fresh.theta[None]])
            inverse = np.concatenate([inverse, self.fresh.inverse[None]])
        return encode_pack(
            PackBlob(
                lineage or self.lineage,
                schema_hash or self.schema_hash,
                generation or self.generation,
                self.alpha,
                self.ridge,
                arms,
                theta.astype(np.float32),
                inverse.astype(np.float32),
            )
        )

    @classmethod
    def from_arrow(cls, data: bytes) -> "LinUCB":
        """Read a pack blob.

        Raises:
            FormatError: if the bytes are damaged, of another format version, or name an arm twice.
        """
        blob = decode_pack(data)
        if len(set(blob.arms)) != len(blob.arms):
            twice = next(arm for arm in blob.arms if blob.arms.count(arm) > 1)
            message = f"pack of {len(blob.arms)} arms names {twice!r} twice"
            raise FormatError(message)
        model = cls.of_rows(blob.arms, blob.theta, blob.inverse, alpha=blob.alpha, ridge=blob.ridge)
        return replace(model, lineage=blob.lineage, schema_hash=blob.schema_hash, generation=blob.generation)


def check_weights(*, alpha: float, ridge: float, prior: float = 0.0) -> None:
    """Refuse weights that no model can be fitted with.

    Raises:
        InvalidInputError: naming the weight, its value and the limit.
    """
    if not (np.isfinite(ridge) and ridge > 0):
        message = f"ridge = {ridge}: must be finite and above 0, or A cannot be inverted"
        raise InvalidInputError(message)
    for name, value in (("alpha", alpha), ("prior", prior)):
        if not (np.isfinite(value) and value >= 0):
            message = f"{name} = {value}: must be finite and at least 0"
            raise InvalidInputError(message)


def inverses(gram: NDArray[np.float64], d: int, ridge: float, arms: Sequence[str]) -> NDArray[np.float64]:
    """(ridge·I + G)⁻¹ (K, d, d) of packed Gram matrices (K, P), by Cholesky: A = L Lᵀ, A⁻¹ = L⁻ᵀ L⁻¹.

    Raises:
        NumericalError: naming the first arm whose matrix is not positive definite or not finite.
    """
    matrices = unpack(gram, d)
    places = np.arange(d)
    matrices[:, places, places] += ridge
    finite = np.isfinite(matrices).all(axis=(1, 2))
    if not finite.all():
        message = f"arm {arms[int(np.argmin(finite))]!r}: statistics hold values that are not finite"
        raise NumericalError(message)
    try:
        lower: NDArray[np.float64] = np.linalg.cholesky(matrices).astype(np.float64, copy=False)
    except np.linalg.LinAlgError as error:
        worst = arms[int(np.argmin(np.linalg.eigvalsh(matrices)[:, 0]))]
        message = f"arm {worst!r}: its matrix is not positive definite with ridge = {ridge}: raise ridge"
        raise NumericalError(message) from error
    half = lower_inverses(lower)
    solved: NDArray[np.float64] = half.transpose(0, 2, 1) @ half
    return solved


def lower_inverses(lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverses of lower triangles (K, d, d), by halves: numpy has no batched triangular solve, but batched products."""
    d = lower.shape[-1]
    if d <= _LEAF:
        return np.linalg.inv(lower).astype(np.float64, copy=False)
    half = d // 2
    first, last = lower_inverses(lower[:, :half, :half]), lower_inverses(lower[:, half:, half:])
    found = np.zeros_like(lower)
    found[:, :half, :half], found[:, half:, half:] = first, last
    found[:, half:, :half] = -(last @ lower[:, half:, :half]) @ first
    return found
