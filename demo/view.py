"""The live view on a terminal; plain lines where there is none."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from contracts import POLICIES
from demo.monitor import Snapshot
from demo.tables import percent
from learner import wilson

if TYPE_CHECKING:
    from beam_pipelines.generate import Progress

LINE_EVERY_S = 10.0
_WIDE = 104
# On a narrow terminal and on a wide one.
_BAR_CELLS, _TREND_CELLS = (16, 30), (12, 24)
_BLOCKS = "▁▂▃▄▅▆▇█"
_COLOURS = {"original": "white", "random": "cyan", "linucb": "green"}


class LiveView:
    """Shows snapshots while its block runs: redrawn in place, or a line each ten seconds where that is no terminal."""

    def __init__(self, console: Console, policies: Sequence[str] = POLICIES) -> None:
        self._console = console
        self._policies = tuple(policies)
        self._live: Live | None = None
        self._next_line_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show until the block is left."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def show(self, snapshot: Snapshot) -> None:
        """Show one snapshot."""
        if self._live is not None:
            self._live.update(render(snapshot, self._policies, self._console.width), refresh=True)
            return
        now = time.monotonic()
        if now >= self._next_line_s:
            self._next_line_s = now + LINE_EVERY_S
            self._console.print(line(snapshot, self._policies), highlight=False, soft_wrap=True)


def told_pictures(console: Console) -> "Callable[[Progress], None]":
    """Hears how far the pictures are; where there is no terminal, and so no bar, says it now and then."""
    from beam_pipelines.generate import progress_log

    def say(now: "Progress", left_s: int | None) -> None:
        left = "" if left_s is None else f", {left_s} s left"
        console.print(f"{now.done:,} of {now.planned:,} pictures{left}", highlight=False)

    return progress_log(math.inf if console.is_terminal else LINE_EVERY_S, say=say)


def line(snapshot: Snapshot, policies: Sequence[str] = POLICIES) -> str:
    """One snapshot as one plain line."""
    rates = ", ".join(
        f"{name} {percent(_rate(snapshot, code))}" for code, name in enumerate(POLICIES) if name in policies
    )
    problems = f", {snapshot.problems} problems" if snapshot.problems else ""
    return (
        f"{snapshot.elapsed_s:5.0f} s  {snapshot.decided:,} of {snapshot.total:,} decisions "
        f"({snapshot.decisions_per_s:,.0f}/s), {snapshot.folded:,} facts folded ({snapshot.folded_per_s:,.0f}/s), "
        f"event to served model {_lag(snapshot)}, CTR: {rates}{problems}"
    )


def render(snapshot: Snapshot, policies: Sequence[str] = POLICIES, width: int = _WIDE) -> RenderableType:
    """One snapshot as a panel for a terminal of ``width`` columns (80 or more)."""
    figures = [
        ("decisions", f"{snapshot.decisions_per_s:,.0f}/s"),
        ("facts folded", f"{snapshot.folded:,} ({snapshot.folded_per_s:,.0f}/s)"),
        ("event to served model", _lag(snapshot)),
    ]
    if snapshot.problems:
        figures.append(("problems", f"{snapshot.problems:,}"))
    facts = Table.grid(padding=(0, 3))
    facts.add_row(*(Text.assemble((f"{name} ", "dim"), (value, "bold")) for name, value in figures))
    progress = Table.grid(padding=(0, 1))
    progress.add_row(
        ProgressBar(total=max(1, snapshot.total), completed=snapshot.decided, width=36),
        Text(f"{snapshot.decided:,} of {snapshot.total:,} decisions, {snapshot.elapsed_s:,.0f} s"),
    )
    return Panel(
        Group(progress, facts, Text(""), _rates(snapshot, policies, wide=width >= _WIDE)),
        title="Traffic",
        title_align="left",
    )


def sparkline(values: NDArray[np.float64], highest: float) -> str:
    """Values (T,) as blocks, ``highest`` at full height; nan is a gap."""
    if highest <= 0:
        return ""
    top = len(_BLOCKS) - 1
    return "".join(
        " " if not np.isfinite(value) else _BLOCKS[min(top, max(0, round(top * value / highest)))] for value in values
    )


def _rates(snapshot: Snapshot, policies: Sequence[str], *, wide: bool) -> Table:
    bar, span = (cells[int(wide)] for cells in (_BAR_CELLS, _TREND_CELLS))
    table = Table(box=None, padding=(0, 1), title="CTR by policy, 95 % intervals", title_justify="left")
    for name, right in (("policy", False), ("shown", True), ("CTR", True), ("interval", False)):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column(f"0 to {percent(_scale(snapshot))}", no_wrap=True, min_width=bar)
    table.add_column("each 10 s", no_wrap=True)
    scale = _scale(snapshot)
    recent = snapshot.trend[:, -span:]
    highest = float(np.nanmax(recent)) if np.isfinite(recent).any() else 0.0
    for code, name in enumerate(POLICIES):
        if name not in policies:
            continue
        low, high = wilson(float(snapshot.clicks[code]), float(snapshot.shown[code]))
        colour = _COLOURS[name]
        table.add_row(
            Text(name, style=colour),
            f"{snapshot.shown[code]:,}",
            percent(_rate(snapshot, code)),
            f"{percent(low)} – {percent(high)}",
            _bar((_rate(snapshot, code), low, high), scale, bar, colour),
            Text(sparkline(recent[code], highest), style=colour),
        )
    return table


def _bar(values: tuple[float, float, float], scale: float, width: int, colour: str) -> Text:
    """A bar up to a rate (first of ``values``), with its interval (the others) as whiskers."""
    rate, low, high = values
    cells = [" "] * width
    place = [min(width - 1, round((width - 1) * min(value, scale) / scale)) for value in (low, high)]
    for cell in range(place[0], place[1] + 1):
        cells[cell] = "─"
    if np.isfinite(rate):
        at = min(width - 1, round((width - 1) * rate / scale))
        for cell in range(min(at, place[0])):
            cells[cell] = "█"
        cells[at] = "●"
    return Text("".join(cells), style=colour)


def _scale(snapshot: Snapshot) -> float:
    """A round number above all the rates that can be told by now."""
    rates = [_rate(snapshot, code) for code in range(len(POLICIES))]
    finite = [rate for rate in rates if np.isfinite(rate)]
    return max(0.02, math.ceil(125 * max(finite, default=0.0)) / 100)


def _rate(snapshot: Snapshot, code: int) -> float:
    shown = int(snapshot.shown[code])
    return int(snapshot.clicks[code]) / shown if shown else float("nan")


def _lag(snapshot: Snapshot) -> str:
    return "…" if snapshot.lag_s is None else f"{snapshot.lag_s:.1f} s"
