"""The report as a person reads it: rich tables and plain sentences."""

import math

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contracts import LINUCB, RANDOM
from demo.report import IdentityCheck, LiftRow, Report
from demo.world import Calibration

_NOTES = {
    "demo": (
        "This demo's world is stronger than the paper's in one respect: here the best personalised picture is "
        "{best} over a random one in truth, so that a few minutes of traffic can show the learning. "
        "(backdrop demo --world paper runs a world like the paper's.)"
    ),
    "paper": (
        "A world like the paper's: the best personalised picture is {best} over a random one in truth, and LinUCB, "
        "while learning, has earned {earned} of it."
    ),
}


def percent(value: float, *, signed: bool = False) -> str:
    """Write a share as percent: two digits for rates, one for signed lifts."""
    if not math.isfinite(value):
        return "n/a"
    return f"{value:+.1%}" if signed else f"{value:.2%}"


def whole(value: float) -> str:
    """Write a lift as a whole percentage with its sign."""
    return f"{value:+.0%}"


def verdict(row: LiftRow) -> str:
    """Say plainly whether an interval excludes zero."""
    if row.significant:
        return "higher" if row.lift > 0 else "lower"
    return "not significant"


def print_closing(console: Console, report: Report, world: str, calibration: Calibration) -> None:
    """Print the closing table: policies, lifts, truth, the note about the world, and the identity line."""
    console.print(_policies(report))
    if report.lifts:
        console.print(_lifts(report))
    linucb = report.lift(LINUCB, RANDOM)
    note = _NOTES.get(world, "").format(
        best=whole(calibration.best_lift - 1),
        earned=percent(linucb.truth, signed=True) if linucb else "n/a",
    )
    console.print(Text(note, style="dim"))
    if report.identity is not None:
        # One line, whatever the terminal's width: people search logs for it.
        console.print(identity_line(report.identity), soft_wrap=True)


def identity_line(check: IdentityCheck) -> Text:
    """The identity check as one coloured sentence."""
    return Text(check.line(), style="bold green" if check.identical else "bold red")


def _table(title: str, *columns: str) -> Table:
    """A table of numbers, narrow enough for 80 columns; the first column holds words."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    return table


def _policies(report: Report) -> Table:
    table = _table(
        "Click-through rate by policy", "policy", "decisions", "shown", "clicks", "CTR", "95 % interval", "truth"
    )
    for row in report.rows:
        table.add_row(
            row.policy,
            f"{row.decisions:,}",
            f"{row.shown:,}",
            f"{row.clicks:,}",
            percent(row.ctr),
            f"{percent(row.low)} – {percent(row.high)}",
            percent(row.truth),
        )
    return table


def _lifts(report: Report) -> Table:
    table = _table("Lift, bootstrap by user; truth on the same requests", "of", "lift", "95 % interval", "truth", "")
    for row in report.lifts:
        table.add_row(
            f"{row.policy} over {row.over}",
            percent(row.lift, signed=True),
            f"{percent(row.low, signed=True)} – {percent(row.high, signed=True)}",
            percent(row.truth, signed=True),
            Text(verdict(row), style="green" if row.significant and row.lift > 0 else "yellow"),
        )
    table.add_row("best choice over random", "", "", percent(report.best_over_random, signed=True), "to be had")
    return table
