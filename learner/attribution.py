"""Which facts count: a property of the log alone (design, idea 4)."""

import numpy as np
from numpy.typing import NDArray

from contracts import CLICK, FactBatch, LineageSettings, window_of

COUNTS = 0
LATE = 1
EARLY = 2
UNATTRIBUTED = 3

REASONS = {LATE: "late", EARLY: "early", UNATTRIBUTED: "unattributed"}


def counting(batch: FactBatch, append_ms: int | NDArray[np.int64], settings: LineageSettings) -> NDArray[np.uint8]:
    """Verdicts (n,) on the facts of a batch that the log appended at ``append_ms`` (one time or (n,)).

    Where several reasons hold, the first of late, early, unattributed is given.
    """
    return verdicts(
        batch.integers("kind"),
        batch.integers("decision_ms"),
        batch.integers("event_ms"),
        np.broadcast_to(np.asarray(append_ms, dtype=np.int64), len(batch)),
        settings,
    )


def verdicts(
    kinds: NDArray[np.int64],
    decision_ms: NDArray[np.int64],
    event_ms: NDArray[np.int64],
    append_ms: NDArray[np.int64],
    settings: LineageSettings,
) -> NDArray[np.uint8]:
    """The rule itself, on columns (n,); times in milliseconds."""
    windows = window_of(decision_ms, settings.window_ms)
    bounds = windows + (settings.window_ms + settings.attribution_ms + settings.grace_ms)
    late = append_ms >= bounds
    early = decision_ms > append_ms + settings.grace_ms
    unattributed = (kinds == CLICK) & (event_ms - decision_ms > settings.attribution_ms)
    return np.select(
        [late, early, unattributed],
        [np.uint8(LATE), np.uint8(EARLY), np.uint8(UNATTRIBUTED)],
        default=np.uint8(COUNTS),
    ).astype(np.uint8)
