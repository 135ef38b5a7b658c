"""Lineages: the settings that fix one learning history, and its time rules (design, ideas 4, 8 and 10)."""

import json
import math
from dataclasses import asdict, dataclass

from contracts.errors import InvalidInputError, LineageError

DEFAULT_FLUSH_MS = 500


def gamma_of(half_life_ms: float, window_ms: int) -> float:
    """Factor per closed window with which statistics halve in ``half_life_ms``: 2^(-window / half-life).

    Rounded to 12 decimals, so that machines whose power functions differ in the last bit make one fingerprint of it.

    Raises:
        InvalidInputError: if the half-life is not above 0, or so short that nothing would be left of a window.
    """
    if not (math.isfinite(half_life_ms) and half_life_ms > 0):
        message = f"half-life = {half_life_ms} ms: must be finite and above 0"
        raise InvalidInputError(message)
    gamma: float = round(2.0 ** (-window_ms / half_life_ms), 12)
    if gamma == 0.0:
        message = f"half-life = {half_life_ms} ms: too short for windows of {window_ms} ms, nothing would be remembered"
        raise InvalidInputError(message)
    return gamma


@dataclass(frozen=True, slots=True)
class LineageSettings:
    """What is fixed for a lineage's life; times in milliseconds, ``gamma`` a factor per closed window."""

    schema_hash: str
    d: int
    window_ms: int = 300_000
    attribution_ms: int = 1_800_000
    grace_ms: int = 60_000
    shards: int = 8
    gamma: float = 1.0

    def __post_init__(self) -> None:
        """Refuse settings that cannot work.

        Raises:
            InvalidInputError: naming the field, its value and the limit.
        """
        for name in ("d", "window_ms", "attribution_ms", "grace_ms", "shards"):
            if getattr(self, name) < 1:
                message = f"{name} = {getattr(self, name)}: must be at least 1"
                raise InvalidInputError(message)
        if not (math.isfinite(self.gamma) and 0.0 < self.gamma <= 1.0):
            message = f"gamma = {self.gamma}: must be above 0 and at most 1 (1 forgets nothing)"
            raise InvalidInputError(message)

    def bound_ms(self, window: int) -> int:
        """Append time before which a fact of the window starting at ``window`` must be in the log."""
        return window + self.window_ms + self.attribution_ms + self.grace_ms

    def restart_ms(self, low_watermark_ms: int) -> int:
        """Append time from which a restarted learner must read, given the stored low watermark."""
        return low_watermark_ms - (self.window_ms + self.attribution_ms + 2 * self.grace_ms)

    def first_open_window(self, watermark_ms: int) -> int:
        """Start of the oldest window whose bound the watermark has not passed (open iff watermark < bound)."""
        oldest_start = watermark_ms - (self.window_ms + self.attribution_ms + self.grace_ms) + 1
        return -(-oldest_start // self.window_ms) * self.window_ms

    def fingerprint(self) -> str:
        """Canonical JSON of all fields: what is stored and compared."""
        return json.dumps(asdict(self), sort_keys=True)

    def require_same(self, lineage: str, stored: str) -> None:
        """Compare with a stored fingerprint.

        Raises:
            LineageError: naming each field that differs with both values.
        """
        mine, theirs = asdict(self), json.loads(stored)
        differing = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
        if differing:
            detail = ", ".join(f"{name}: stored {theirs.get(name)}, set {mine.get(name)}" for name in differing)
            message = f"lineage {lineage!r} was begun with other settings ({detail}): use them or a new lineage id"
            raise LineageError(message)
