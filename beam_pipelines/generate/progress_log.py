"""The progress of a run where nobody looks at a terminal: a log line now and then."""

import time
from collections.abc import Callable

import structlog

from beam_pipelines.generate.config import Progress

EVERY_S = 30.0
_log = structlog.get_logger("backdrop.generate")


# Hears of a run's progress and of the seconds left, if they are known.
Say = Callable[[Progress, int | None], None]


def _logged(now: Progress, left_s: int | None) -> None:
    left = {} if left_s is None else {"left_s": left_s}
    _log.info("generating", phase=now.phase, done=now.done, planned=now.planned, **left)


def progress_log(
    every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic, say: Say = _logged
) -> Callable[[Progress], None]:
    """A ``progress`` argument of ``run`` that logs a line, or calls ``say``, every ``every_s`` seconds.

    The seconds left are reckoned from the pace since the first picture was asked for.
    """
    began: float | None = None
    last = clock()

    def show(now: Progress) -> None:
        nonlocal began, last
        time_s = clock()
        if began is None and now.planned:
            began = time_s
        if time_s - last < every_s:
            return
        last = time_s
        if began is None or not now.done:
            say(now, None)
        else:
            say(now, round((time_s - began) * (now.planned - now.done) / now.done))

    return show
