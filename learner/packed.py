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
def diagonal(d: int) -> NDArray[np.intp]:
    """Where the d diagonal entries lie in a packed triangle; read-only."""
    rows, columns = triangle(d)
    places = np.flatnonzero(rows == columns)
    places.flags.writeable = False
    return places


@lru_cache(maxsize=64)
def _weights(d: int) -> NDArray[np.float64]:
    rows, columns = triangle(d)
    weights = np.where(rows == columns, 1.0, 2.0)
    weights.flags.writeable = False
    return weights


def pack(matrices: NDArray[_Float]) -> NDArray[_Float]:
    """Pack symmetric matrices (..., d, d) as (..., P)."""
    rows, columns = triangle(matrices.shape[-1])
    return matrices[..., rows, columns]


def unpack(packed: NDArray[_Float], d: int) -> NDArray[_Float]:
    """Restore symmetric matrices (..., d, d) from (..., P)."""
    rows, columns = triangle(d)
    full = np.empty((*packed.shape[:-1], d, d), dtype=packed.dtype)
    full[..., rows, columns] = packed
    full[..., columns, rows] = packed
    return full


def quadratic(contexts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Products q(x) (..., P) such that ``packed · q(x) = xᵀ M x`` for contexts (..., d)."""
    d = contexts.shape[-1]
    rows, columns = triangle(d)
    products: NDArray[np.float64] = contexts[..., rows] * contexts[..., columns] * _weights(d)
    return products
