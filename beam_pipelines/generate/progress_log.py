"""The progress of a run where nobody looks at a terminal: a log line now and then."""

import time
from collections.abc import Callable

import structlog

from beam_pipelines.generate.config import Progress

EVERY_S = 30.0
_log = structlog.get_logger("backdrop.generate")


def progress_log(every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic) -> Callable[[Progress], None]:
    """A ``progress`` argument of ``run`` that logs a line every ``every_s`` seconds, with the seconds left.

    These are reckoned from the pace since the first picture was asked for; unknown ones are left out.
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
        left = (
            {}
            if began is None or not now.done
            else {"left_s": round((time_s - began) * (now.planned - now.done) / now.done)}
        )
        _log.info("generating", phase=now.phase, done=now.done, planned=now.planned, **left)

    return show
