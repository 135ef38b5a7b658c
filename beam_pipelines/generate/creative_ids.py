"""Creative ids as 16 bytes each, in arrays that are searched by bisection."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ID = np.dtype("S16")

Ids = NDArray[np.bytes_]


def packed(creative_ids: Sequence[str]) -> Ids:
    """Ids of 32 hex digits as S16[n], in their order."""
    return np.frombuffer(bytes.fromhex("".join(creative_ids)), ID)


def located(ids: Ids, wanted: Ids) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where in ``ids`` (sorted) each of ``wanted`` is, and whether it is there at all."""
    if not len(ids):
        return np.zeros(len(wanted), np.intp), np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return at, ids[at] == wanted
