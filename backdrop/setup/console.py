"""What a person sees of a set-up: plain lines, and a bar for whatever takes longer than two seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

_QUIET_S = 2.0
_REDRAW_S = 0.2
_PLAIN_S = 10.0
_WIDTH = 24
_BLOCK = 6


def bar(done: float, total: float, elapsed_s: float) -> str:
    """Return a bar as text: filled to done / total, or a block that moves where total is 0 (unknown).

    Examples:
        >>> bar(1, 2, 3.0)
        '[############------------]  50 %  3 s'
    """
    if total > 0:
        share = min(max(done / total, 0.0), 1.0)
        filled = int(share * _WIDTH)
        return f"[{'#' * filled}{'-' * (_WIDTH - filled)}] {share:4.0%}".replace("%", " %") + f"  {elapsed_s:.0f} s"
    start = int(elapsed_s / _REDRAW_S) % (_WIDTH - _BLOCK + 1)
    return f"[{'-' * start}{'#' * _BLOCK}{'-' * (_WIDTH - _BLOCK - start)}]  {elapsed_s:.0f} s"


@dataclass(slots=True)
class Progress:
    """One running step; its owner calls `tick` often and `Console` decides what to draw."""

    console: "Console"
    label: str
    started_s: float
    drawn_s: float
    drawn: bool = field(default=False)

    def tick(self, done: float = 0.0, total: float = 0.0) -> None:
        """Show how far the step is; cheap enough for any loop."""
        now_s = self.console.clock()
        elapsed_s = now_s - self.started_s
        pause_s = _REDRAW_S if self.console.is_terminal else _PLAIN_S
        if elapsed_s < _QUIET_S or (now_s - self.drawn_s < pause_s and (self.drawn or not self.console.is_terminal)):
            return
        self.drawn_s = now_s
        self.drawn = True
        shown = bar(done, total, elapsed_s)
        if self.console.is_terminal:
            # A line that wraps cannot be redrawn in place.
            label = self.label[: max(self.console.columns - len(shown) - 4, 8)]
            self.console.write(f"\r\033[K  {label} {shown}")
        else:
            self.console.write(f"  {self.label}: {shown if total else f'still running, {elapsed_s:.0f} s'}\n")

    def close(self, outcome: str) -> None:
        """Replace the bar by its outcome and the time it took."""
        start = "\r\033[K" if self.drawn and self.console.is_terminal else ""
        elapsed_s = self.console.clock() - self.started_s
        self.console.write(f"{start}  {self.label}: {outcome} ({elapsed_s:.1f} s)\n")


@dataclass(frozen=True, slots=True)
class Console:
    """Writer of lines and bars.

    Attributes:
        stream: where text goes.
        is_terminal: bars are redrawn in place; else at most one line every ten seconds.
        columns: width of the terminal.
        clock: monotonic seconds.
    """

    stream: TextIO
    is_terminal: bool
    columns: int = 80
    clock: Callable[[], float] = time.monotonic

    def write(self, text: str) -> None:
        """Write text as it is and flush it."""
        self.stream.write(text)
        self.stream.flush()

    def say(self, text: str) -> None:
        """Write one line."""
        self.write(f"{text}\n")

    def begin(self, label: str) -> Progress:
        """Start a step that may take long."""
        now_s = self.clock()
        return Progress(self, label, now_s, now_s)
