import io
from collections.abc import Iterator

import pytest

from backdrop.setup.console import Console, bar


class SteppedClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Iterator[SteppedClock]:
    yield SteppedClock()


def run_for(console: Console, clock: SteppedClock, seconds: int, *, total: int = 0) -> None:
    progress = console.begin("Packages")
    for second in range(seconds * 10):
        clock.now_s = second / 10
        progress.tick(second, total)
    progress.close("done")


def test_a_bar_fills_with_what_is_done() -> None:
    assert bar(0, 4, 1.0).startswith("[" + "-" * 24 + "]")
    assert bar(2, 4, 1.0) == "[" + "#" * 12 + "-" * 12 + "]  50 %  1 s"
    assert bar(9, 4, 1.0).startswith("[" + "#" * 24 + "]")


def test_a_bar_without_a_total_keeps_moving() -> None:
    assert bar(0, 0, 1.0) != bar(0, 0, 1.5)


def test_quick_steps_show_no_bar(clock: SteppedClock) -> None:
    stream = io.StringIO()
    run_for(Console(stream, is_terminal=True, clock=clock), clock, 1)
    assert stream.getvalue() == "  Packages: done (0.9 s)\n"


def test_a_log_file_gets_at_most_one_line_every_ten_seconds(clock: SteppedClock) -> None:
    stream = io.StringIO()
    run_for(Console(stream, is_terminal=False, clock=clock), clock, 65)
    lines = stream.getvalue().splitlines()
    assert "\033" not in stream.getvalue()
    assert 5 <= len(lines) <= 7
    assert lines[0] == "  Packages: still running, 10 s"


def test_a_terminal_gets_one_line_that_never_wraps(clock: SteppedClock) -> None:
    stream = io.StringIO()
    run_for(Console(stream, is_terminal=True, columns=50, clock=clock), clock, 8, total=80)
    drawn = stream.getvalue().split("\r\033[K")
    assert len(drawn) > 20
    assert all(len(text.rstrip("\n")) <= 50 for text in drawn)
    assert stream.getvalue().count("\n") == 1
