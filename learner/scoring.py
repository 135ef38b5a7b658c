"""Upper confidence bounds from packed inverses (Li et al. 2010, Algorithm 1, lines 8-9)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import InvalidInputError
from learner.packed import quadratic

_Array = NDArray[np.floating[Any]]
_SCALE = 1.0 / 1024.0
# Beyond this sum of squares float32 cannot hold the products of a context's entries.
_LARGEST = float(np.finfo(np.float32).max)


def real(contexts: NDArray[Any]) -> NDArray[np.float64]:
    """Contexts as float64: x = q / 1024 of int16 ones, others as they are."""
    values = np.asarray(contexts)
    if values.dtype == np.int16:
        return values * _SCALE
    return values.astype(np.float64, copy=False)


def real_row(context: NDArray[Any], d: int) -> NDArray[np.float64]:
    """One context (d,) as ``real`` has it.

    Raises:
        InvalidInputError: on another shape, or on a value that is not finite or too large, naming its column.
    """
    x = real(context)
    if x.shape != (d,):
        message = f"context {x.shape}: need ({d},)"
        raise InvalidInputError(message)
    # One product looks at every entry: it is not finite, or too large, if any of them is.
    if not x.dot(x) <= _LARGEST:
        raise _unfit(x[None])
    return x


def real_rows(contexts: NDArray[Any], d: int) -> NDArray[np.float64]:
    """Contexts (n, d) as ``real`` has them.

    Raises:
        InvalidInputError: on another shape, or on a value that is not finite or too large, naming row and column.
    """
    x = real(contexts)
    if x.shape != (len(x), d):
        message = f"contexts {x.shape}: need (n, {d})"
        raise InvalidInputError(message)
    if not np.vdot(x, x) <= _LARGEST:
        raise _unfit(x)
    return x


def bounds(theta: _Array, inverse: _Array, x: NDArray[np.float64], weight: float) -> _Array:
    """Upper confidence bounds (K,) of one context (d,), in the precision of ``theta`` (K, d), ``inverse`` (K, P)."""
    context = x.astype(theta.dtype)
    # Rounding may take a variance that is next to nothing below it.
    spread: _Array = np.sqrt(np.abs(inverse.dot(quadratic(context))))
    spread *= weight
    spread += theta.dot(context)
    return spread


def bounds_batch(theta: _Array, inverse: _Array, x: NDArray[np.float64], weight: float) -> _Array:
    """The same (n, K) of contexts (n, d)."""
    contexts = x.astype(theta.dtype)
    spread: _Array = np.sqrt(np.abs(quadratic(contexts) @ inverse.T))
    spread *= weight
    spread += contexts @ theta.T
    return spread


def twins(theta: _Array, inverse: _Array) -> NDArray[np.intp] | None:
    """For each arm (K,) the first one that is scored with the same numbers; None if no two are.

    BLAS rounds a row's product by where the row stands. Arms of equal numbers, such as all those never shown, must
    score equally to the last bit, or ties between them would always fall the same way.
    """
    # Adding 0 makes -0 of 0.
    rows = [row.tobytes() for row in theta + 0.0]
    if len(set(rows)) == len(rows):
        return None
    full = [row + other.tobytes() for row, other in zip(rows, inverse + 0.0, strict=True)]
    first: dict[bytes, int] = {}
    same = np.array([first.setdefault(row, arm) for arm, row in enumerate(full)], dtype=np.intp)
    return None if len(first) == len(full) else same


def _unfit(x: NDArray[np.float64]) -> InvalidInputError:
    sizes = np.where(np.isfinite(x), np.abs(x), np.inf)
    row, column = np.unravel_index(int(np.argmax(sizes)), x.shape)
    limit = f"must be finite, and squares add up to at most {_LARGEST:.3g}"
    return InvalidInputError(f"context row {row}, column {column} is {x[row, column]}: {limit}")
