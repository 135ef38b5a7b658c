"""Disjoint LinUCB packs: fitted in float64, kept and scored in float32 (Li et al. 2010, Algorithm 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from contracts import InvalidInputError, NumericalError, PackBlob, decode_pack, encode_pack, packed_length
from learner.packed import diagonal, pack, quadratic, unpack
from learner.statistics import ArmStats, Statistics

_Array = NDArray[np.floating[Any]]
_SCALE = 1.0 / 1024.0


@dataclass(frozen=True, slots=True)
class LinUCB:
    """What one category is scored with: ``theta`` (K, d), ``inverse`` (K, P) packed A⁻¹ with A = ridge·I + G.

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

    @classmethod
    def fit(
        cls,
        stats: Mapping[str, ArmStats],
        *,
        alpha: float = 0.1,
        ridge: float = 1.0,
        dtype: DTypeLike = np.float32,
    ) -> "LinUCB":
        """Solve A θ = b for every arm by Cholesky in float64, then store as ``dtype``.

        Raises:
            InvalidInputError: if ``ridge`` is not above 0, ``alpha`` is negative, or arms differ in size.
            NumericalError: if an arm's matrix cannot be solved.
        """
        return cls.fit_statistics(Statistics.of(stats), alpha=alpha, ridge=ridge, dtype=dtype)

    @classmethod
    def fit_statistics(
        cls, stats: Statistics, *, alpha: float = 0.1, ridge: float = 1.0, dtype: DTypeLike = np.float32
    ) -> "LinUCB":
        """The same from statistics side by side."""
        if not (np.isfinite(ridge) and ridge > 0):
            message = f"ridge = {ridge}: must be finite and above 0, or A cannot be inverted"
            raise InvalidInputError(message)
        if not (np.isfinite(alpha) and alpha >= 0):
            message = f"alpha = {alpha}: must be finite and at least 0"
            raise InvalidInputError(message)
        inverse = inverses(stats.gram, stats.d, ridge, stats.arms)
        theta = np.einsum("kij,kj->ki", inverse, stats.moment)
        return cls(stats.arms, theta.astype(dtype), pack(inverse).astype(dtype), float(alpha), float(ridge))

    @property
    def d(self) -> int:
        """Entries of a context."""
        return int(self.theta.shape[1])

    def means(self, contexts: NDArray[Any]) -> _Array:
        """Expected reward (n, K) of contexts (n, d)."""
        return real(contexts).astype(self.theta.dtype) @ self.theta.T

    def scores(self, x: NDArray[Any], *, alpha: float | None = None) -> _Array:
        """Upper confidence bounds (K,) of one context (d,): θᵀx + α √(xᵀ A⁻¹ x)."""
        weight = self.alpha if alpha is None else alpha
        context = real(x)
        mean = self.theta @ context.astype(self.theta.dtype)
        variance = self.inverse @ quadratic(context).astype(self.inverse.dtype)
        bound: _Array = mean + weight * np.sqrt(np.maximum(variance, 0))
        return bound

    def scores_batch(self, contexts: NDArray[Any], *, alpha: float | None = None) -> _Array:
        """Upper confidence bounds (n, K) of contexts (n, d)."""
        weight = self.alpha if alpha is None else alpha
        x = real(contexts)
        variance = quadratic(x).astype(self.inverse.dtype) @ self.inverse.T
        bounds: _Array = self.means(x) + weight * np.sqrt(np.maximum(variance, 0))
        return bounds

    def aligned(self, arms: Sequence[str]) -> "LinUCB":
        """The same for exactly ``arms``, in that order; one not known here is as if never shown."""
        if tuple(arms) == self.arms:
            return self
        mine = {arm: i for i, arm in enumerate(self.arms)}
        here = [i for i, arm in enumerate(arms) if arm in mine]
        there = [mine[arm] for arm in arms if arm in mine]
        theta = np.zeros((len(arms), self.d), dtype=self.theta.dtype)
        inverse = np.zeros((len(arms), packed_length(self.d)), dtype=self.inverse.dtype)
        inverse[:, diagonal(self.d)] = 1.0 / self.ridge
        theta[here] = self.theta[there]
        inverse[here] = self.inverse[there]
        return LinUCB(
            tuple(arms),
            theta,
            inverse,
            self.alpha,
            self.ridge,
            self.lineage,
            self.schema_hash,
            self.generation,
        )

    def to_arrow(self, *, lineage: str = "", schema_hash: str = "", generation: int = 0) -> bytes:
        """Write as a pack blob (docs/formats.md), float32."""
        return encode_pack(
            PackBlob(
                lineage or self.lineage,
                schema_hash or self.schema_hash,
                generation or self.generation,
                self.alpha,
                self.ridge,
                self.arms,
                self.theta.astype(np.float32),
                self.inverse.astype(np.float32),
            )
        )

    @classmethod
    def from_arrow(cls, data: bytes) -> "LinUCB":
        """Read a pack blob.

        Raises:
            FormatError: if the bytes are damaged or of another format version.
        """
        blob = decode_pack(data)
        return cls(
            blob.arms,
            blob.theta,
            blob.inverse,
            blob.alpha,
            blob.ridge,
            blob.lineage,
            blob.schema_hash,
            blob.generation,
        )


def real(contexts: NDArray[Any]) -> NDArray[np.float64]:
    """Contexts as float64: x = q / 1024 of int16 ones, others as they are."""
    values = np.asarray(contexts)
    if values.dtype == np.int16:
        return values * _SCALE
    return values.astype(np.float64)


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
        lower = np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError as error:
        message = f"a matrix of arms {list(arms)[:5]} is not positive definite with ridge = {ridge}: raise ridge"
        raise NumericalError(message) from error
    # numpy has no triangular solve; the inverse of L by a general solve is as stable here and batched.
    half = np.linalg.solve(lower, np.broadcast_to(np.eye(d), lower.shape))
    solved: NDArray[np.float64] = np.einsum("kji,kjl->kil", half, half)
    return solved
