"""Upper triangles of symmetric matrices, row major: the stored and scored form of Gram matrices."""

from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Float = TypeVar("_Float", bound=np.floating[Any])


@lru_cache(maxsize=64)
def triangle(d: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column (P,) of each packed entry of a d × d matrix, P = d(d+1)/2; read-only."""
    rows, columns = np.triu_indices(d)
    rows.flags.writeable = False
    columns.flags.writeable = False
    return rows, columns


@lru_cache(maxsize=64)
def places(d: int, width: int) -> NDArray[np.intp]:
    """Where each packed entry (P,) lies in a d × ``width`` matrix laid out flat, width at least d; read-only."""
    rows, columns = triangle(d)
    flat = rows * width + columns
    flat.flags.writeable = False
    return flat


@lru_cache(maxsize=64)
def diagonal(d: int) -> NDArray[np.intp]:
    """Where the d diagonal entries lie in a packed triangle; read-only."""
    rows, columns = triangle(d)
    found = np.flatnonzero(rows == columns)
    found.flags.writeable = False
    return found


@lru_cache(maxsize=64)
def _weights(d: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    rows, columns = triangle(d)
    weights = np.where(rows == columns, 1.0, 2.0).astype(dtype)
    weights.flags.writeable = False
    return weights


def pack(matrices: NDArray[_Float]) -> NDArray[_Float]:
    """Pack symmetric matrices (..., d, d) as (..., P)."""
    d = matrices.shape[-1]
    return matrices.reshape(*matrices.shape[:-2], d * d).take(places(d, d), axis=-1)


def unpack(packed: NDArray[_Float], d: int) -> NDArray[_Float]:
    """Restore symmetric matrices (..., d, d) from (..., P)."""
    rows, columns = triangle(d)
    full = np.empty((*packed.shape[:-1], d, d), dtype=packed.dtype)
    full[..., rows, columns] = packed
    full[..., columns, rows] = packed
    return full


def quadratic(contexts: NDArray[_Float]) -> NDArray[_Float]:
    """Products q(x) (..., P) such that ``packed · q(x) = xᵀ M x`` for contexts (..., d), in their precision."""
    d = contexts.shape[-1]
    rows, columns = triangle(d)
    # For one context plain indexing is much the quicker of the two.
    products, others = (
        (contexts[rows], contexts[columns])
        if contexts.ndim == 1
        else (contexts.take(rows, axis=-1), contexts.take(columns, axis=-1))
    )
    products *= others
    products *= _weights(d, contexts.dtype)
    return products
