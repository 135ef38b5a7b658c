import io

import numpy as np
from rich.console import Console

from demo.monitor import Snapshot
from demo.view import LiveView, line, render, sparkline

SNAPSHOT = Snapshot(
    elapsed_s=61.2,
    decided=24_000,
    total=80_000,
    decisions_per_s=401.5,
    folded=24_500,
    acknowledged=24_700,
    folded_per_s=420.0,
    lag_s=1.25,
    shown=np.array([9_000, 9_100, 4_600]),
    clicks=np.array([270, 320, 240]),
    trend=np.array([[0.03, 0.031], [0.034, np.nan], [0.04, 0.06]]),
    problems=0,
)
NOTHING = Snapshot(0.0, 0, 80_000, 0.0, 0, 0, 0.0, None, np.zeros(3, int), np.zeros(3, int), np.zeros((3, 0)), 0)


def shown(console: Console) -> str:
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def test_a_frame_shows_rates_intervals_lag_and_progress() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, no_color=True)
    console.print(render(SNAPSHOT))
    text = shown(console)
    for part in ("402/s", "24,500 (420/s)", "1.2 s", "24,000 of 80,000", "linucb", "5.22%", "4.61% – 5.90%"):
        assert part in text, part


def test_a_frame_fits_eighty_columns() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, no_color=True)
    console.print(render(SNAPSHOT, width=80))
    text = shown(console)
    assert "…" not in text
    assert "4.61% – 5.90%" in text


def test_a_frame_of_nothing_is_fine() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(render(NOTHING))
    assert "n/a" in shown(console)


def test_policies_that_do_not_serve_are_left_out() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(render(SNAPSHOT, ["linucb"]))
    assert "random" not in shown(console)
    assert "original" not in line(SNAPSHOT, ["linucb"])


def test_without_a_terminal_there_is_a_plain_line_now_and_then() -> None:
    console = Console(file=io.StringIO(), width=80)
    view = LiveView(console)
    with view.running():
        for _ in range(5):
            view.show(SNAPSHOT)
    lines = shown(console).splitlines()
    assert len(lines) == 1
    assert "24,000 of 80,000 decisions (402/s)" in lines[0]
    assert "\x1b" not in lines[0]


def test_on_a_terminal_the_frame_is_redrawn_and_goes_at_the_end() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    view = LiveView(console)
    with view.running():
        view.show(SNAPSHOT)
        view.show(SNAPSHOT)
    assert "Traffic" in shown(console)


def test_sparkline_scales_and_leaves_gaps() -> None:
    assert sparkline(np.array([0.0, 0.5, np.nan, 1.0]), 1.0) == "▁▅ █"
    assert sparkline(np.array([0.1]), 0.0) == ""
