"""Time as an argument: a clock protocol, the system's clock and one for tests."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells wall time."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, from the operating system."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is moved: tests and simulations."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        """Start at ``now_ms``."""
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, as last set."""
        return self._now_ms

    def advance(self, by_ms: int) -> None:
        """Move the clock by ``by_ms`` (may be negative, as real clocks do)."""
        self._now_ms += by_ms
