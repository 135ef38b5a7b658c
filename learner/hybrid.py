"""Hybrid LinUCB (Li et al. 2010, Algorithm 2), written as a pack that is scored as a disjoint one is.

The shared features of arm a at context x are z = t_a ⊗ x_S, with t_a its tag vector and x_S the entries S of x. So
z = M_a x with M_a = t_a ⊗ E_S, and every sum of Algorithm 2 follows from the arm's own (G, b): B_a = G_a M_aᵀ,
Σ z zᵀ = M_a G_a M_aᵀ, Σ r z = M_a b_a. With ridge λ for both parts (the paper: 1) and A_a = λI + G_a these become

    A₀ = λI + λ Σ_a M_a (I - λ A_a⁻¹) M_aᵀ        b₀ = λ Σ_a M_a A_a⁻¹ b_a        β = A₀⁻¹ b₀
    mean = xᵀ w_a,       w_a = A_a⁻¹ (b_a + λ M_aᵀ β)
    variance = xᵀ Q_a x, Q_a = A_a⁻¹ + λ² A_a⁻¹ M_aᵀ A₀⁻¹ M_a A_a⁻¹

because G A⁻¹ = I - λ A⁻¹. Unlike the paper's lines 17-23 nothing large is subtracted, and Q_a is positive by its form.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from contracts import FRESH_ARM, InvalidInputError
from learner.linucb import LinUCB, check_weights, inverses, lower_inverses
from learner.numerics import require_positive
from learner.packed import pack
from learner.statistics import Statistics, require_finite

MAX_SHARED_FEATURES = 1024

_Vectors = NDArray[np.float64]


def tag_vectors(tags: Mapping[str, Mapping[str, str]]) -> dict[str, _Vectors]:
    """Vectors (T,) of arms from their tags (name -> word): a constant 1, then one entry for each (name, word).

    The entries are those that occur among the arms given, in ascending order; 1 where the arm has that word, else 0. An
    arm without tags has the constant alone.
    """
    places = {word: place for place, word in enumerate(sorted({w for each in tags.values() for w in each.items()}), 1)}
    vectors = {}
    for arm, words in tags.items():
        vector = np.zeros(1 + len(places))
        vector[0] = 1.0
        vector[[places[word] for word in words.items()]] = 1.0
        vectors[arm] = vector
    return vectors


def fit_hybrid(
    stats: Statistics,
    tags: Mapping[str, NDArray[np.float64]],
    shared: Sequence[int],
    *,
    alpha: float = 0.1,
    ridge: float = 1.0,
    dtype: DTypeLike = np.float32,
) -> LinUCB:
    """Fit Algorithm 2 to the sums of all arms; rows for each arm with statistics or with a tag vector, ascending.

    ``tags`` (T,) by arm begin with the constant 1; an arm without a vector has the constant alone, and so has the
    pack's ``fresh``, which stands for arms that have no row. ``shared`` are the entries S of the context.

    Raises:
        InvalidInputError: if ``shared`` or the vectors do not fit, or T · |S| is above ``MAX_SHARED_FEATURES``.
        NumericalError: if the matrices cannot be solved.
    """
    check_weights(alpha=alpha, ridge=ridge)
    require_finite(stats)
    entries = _entries(shared, stats.d)
    arms = (*sorted({*stats.arms, *tags}), FRESH_ARM)
    vectors = _stacked(arms, tags)
    features = vectors.shape[1] * len(entries)
    if features > MAX_SHARED_FEATURES:
        message = (
            f"{vectors.shape[1]} tag entries × {len(entries)} shared context entries = {features} shared features: "
            f"at most {MAX_SHARED_FEATURES}, so share fewer entries of the context"
        )
        raise InvalidInputError(message)
    rows = stats.aligned(arms)
    own = inverses(rows.gram, rows.d, ridge, arms)
    theta = np.einsum("kij,kj->ki", own, rows.moment)
    half = _shared_half(own[:, entries][:, :, entries], vectors, ridge)
    beta = half.T @ (half @ (ridge * np.einsum("kt,ki->ti", vectors, theta[:, entries]).reshape(-1)))
    # w_a = θ_a + λ A_a⁻¹ M_aᵀ β, where M_aᵀ β lies in the shared entries alone.
    leaning = vectors @ beta.reshape(vectors.shape[1], len(entries))
    weights = theta + ridge * np.einsum("kij,kj->ki", own[:, :, entries], leaning)
    # (A₀'s half) M_a A_a⁻¹, so that the second part of Q_a is a square.
    reach = np.einsum("fts,kt->kfs", half.reshape(features, vectors.shape[1], len(entries)), vectors) @ own[:, entries]
    spread = own + ridge**2 * (reach.transpose(0, 2, 1) @ reach)
    require_positive(spread, arms)
    return LinUCB.of_rows(arms, weights.astype(dtype), pack(spread).astype(dtype), alpha=alpha, ridge=ridge)


def _shared_half(own: _Vectors, vectors: _Vectors, ridge: float) -> _Vectors:
    """L⁻¹ (F, F) with A₀ = L Lᵀ, from every A_a⁻¹ in the shared entries (K, S, S) and tag vectors (K, T)."""
    size = own.shape[1]
    learned = ridge * (np.eye(size) - ridge * own)
    features = vectors.shape[1] * size
    total = np.einsum("kt,ku,kij->tiuj", vectors, vectors, learned, optimize=True).reshape(features, features)
    total[np.arange(features), np.arange(features)] += ridge
    half: _Vectors = lower_inverses(np.linalg.cholesky((total + total.T) / 2)[None])[0]
    return half


def _entries(shared: Sequence[int], d: int) -> NDArray[np.intp]:
    entries = np.array(shared, dtype=np.intp)
    if not len(entries) or len(set(shared)) != len(entries) or not (0 <= entries.min() and entries.max() < d):
        message = f"shared = {list(shared)}: name at least one context entry, 0 to {d - 1}, each once"
        raise InvalidInputError(message)
    return entries


def _stacked(arms: Sequence[str], tags: Mapping[str, _Vectors]) -> _Vectors:
    sizes = {vector.shape for vector in tags.values()} or {(1,)}
    if len(sizes) > 1 or len(next(iter(sizes))) != 1:
        message = f"tag vectors have shapes {sorted(sizes)}: need one (T,)"
        raise InvalidInputError(message)
    vectors = np.zeros((len(arms), *sizes.pop()))
    vectors[:, 0] = 1.0
    for row, arm in enumerate(arms):
        if arm in tags:
            vectors[row] = tags[arm]
    wrong = np.argwhere(~np.isfinite(vectors))
    if len(wrong):
        row, entry = wrong[0]
        message = f"tag vector of arm {arms[row]!r}, entry {entry} is {vectors[row, entry]}: must be finite"
        raise InvalidInputError(message)
    return vectors
