"""The report as a person reads it: rich tables and plain sentences."""

import math

from rich.console import Group, RenderableType
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


def verdict(row: LiftRow) -> str:
    """Say plainly whether an interval excludes zero."""
    if row.significant:
        return "higher" if row.lift > 0 else "lower"
    return "not significant"


def closing(report: Report, world: str, calibration: Calibration) -> RenderableType:
    """The closing table: policies, lifts, truth, the note about the world, and the identity line."""
    parts: list[RenderableType] = [_policies(report)]
    if report.lifts:
        parts.append(_lifts(report))
    linucb = report.lift(LINUCB, RANDOM)
    note = _NOTES.get(world, "").format(
        best=percent(calibration.best_lift - 1, signed=True),
        earned=percent(linucb.truth, signed=True) if linucb else "n/a",
    )
    parts.append(Text(note, style="dim"))
    if report.identity is not None:
        parts.append(identity_line(report.identity))
    return Group(*parts)


def identity_line(check: IdentityCheck) -> Text:
    """The identity check as one coloured sentence."""
    return Text(check.line(), style="bold green" if check.identical else "bold red")


def _policies(report: Report) -> Table:
    table = Table(title="Click-through rate by policy", title_justify="left")
    for name, right in (
        ("policy", False),
        ("decisions", True),
        ("shown", True),
        ("clicks", True),
        ("CTR", True),
        ("95 % interval", True),
        ("truth", True),
    ):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
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
    table = Table(
        title="Lift (intervals: bootstrap by user; truth: the simulator's, on the same requests)",
        title_justify="left",
    )
    for name in ("comparison", "lift", "95 % interval", "truth", "verdict"):
        table.add_column(name, justify="left" if name in {"comparison", "verdict"} else "right", no_wrap=True)
    for row in report.lifts:
        table.add_row(
            f"{row.policy} over {row.over}",
            percent(row.lift, signed=True),
            f"{percent(row.low, signed=True)} – {percent(row.high, signed=True)}",
            percent(row.truth, signed=True),
            Text(verdict(row), style="green" if row.significant and row.lift > 0 else "yellow"),
        )
    table.add_row("best choice over random", "", "", percent(report.best_over_random, signed=True), "what could be had")
    return table
