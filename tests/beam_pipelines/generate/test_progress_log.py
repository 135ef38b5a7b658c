"""Progress without a terminal."""

import pytest
import structlog

from beam_pipelines.generate import Progress, progress_log


def test_a_line_every_thirty_seconds_with_the_time_left() -> None:
    now = [0.0]
    with structlog.testing.capture_logs() as logs:
        show = progress_log(clock=lambda: now[0])
        for second in range(0, 101):
            now[0] = float(second)
            # A picture a second from the 10th second on.
            show(Progress(0, 0, "planning") if second < 10 else Progress(second - 10, 200, "rendering"))
    assert [(line["phase"], line["done"], line["planned"], line.get("left_s")) for line in logs] == [
        ("rendering", 20, 200, 180),
        ("rendering", 50, 200, 150),
        ("rendering", 80, 200, 120),
    ]


@pytest.mark.parametrize("planned", [0, 50])
def test_where_the_pace_is_unknown_no_time_is_said(planned: int) -> None:
    now = [0.0]
    with structlog.testing.capture_logs() as logs:
        show = progress_log(clock=lambda: now[0])
        now[0] = 31.0
        show(Progress(0, planned, "planning"))
    assert len(logs) == 1
    assert "left_s" not in logs[0]


def test_whoever_would_say_it_otherwise_is_told_as_often() -> None:
    times, said = iter((0.0, 4.0, 10.5, 12.0, 21.0)), []
    show = progress_log(10.0, times.__next__, lambda now, left_s: said.append((now.done, left_s)))
    for done in (1, 2, 3, 100):
        show(Progress(done, 172, "rendering"))
    assert said == [(2, 552), (100, 12)]
