"""The same job on each runner that is set up: start-up, a backlog, how soon windows close, memory of the job server."""

import time
from collections.abc import Iterator

import numpy as np

from beam_pipelines.learn import FLINK, PRISM
from benchmarks.drain import drain, fill
from benchmarks.job import Bench, bench, learner, settings_of, wait_for
from benchmarks.report import Row
from benchmarks.traffic import Steady
from demo.measure import tree_bytes

PACKAGES = ("apache-beam", "numpy", "pyarrow")

FACTS = 200_000
RATE = 400
SECONDS = 60.0

_MIB = 1 << 20


def closing_lags(place: Bench, runner: str) -> tuple[list[float], float]:
    """From a window's bound to its close, seconds, for each close seen; and MiB of the learner and its children."""
    settings = settings_of(window_ms=1_000, attribution_ms=2_000, grace_ms=500)
    lags: list[float] = []
    with learner(place, settings, runner=runner) as pid, Steady(place.log, RATE):
        wait_for("the first closed window", lambda: any(found.through >= 0 for found in place.store.facts().values()))
        seen: dict[str, int] = {}
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            now_ms = place.log.clock_ms()
            for category, found in place.store.facts().items():
                if found.through > seen.get(category, -1):
                    if category in seen:
                        lags.append((now_ms - settings.bound_ms(found.through)) / 1000)
                    seen[category] = found.through
            time.sleep(0.02)
        size = tree_bytes(pid) / _MIB
    return lags, size


def rows() -> Iterator[Row]:
    """The figures; a runner that is not set up ends them with a sentence that says how."""
    for runner in (PRISM, FLINK):
        with bench() as place:
            found = drain(place, fill(place, FACTS), runner=runner)
            yield Row(f"{runner}: start to first fold", found.start_s, "s")
            yield Row(f"{runner}: drain {FACTS:,} facts, d = 32", found.rate, "facts/s")
        with bench() as place:
            lags, size = closing_lags(place, runner)
            note = f"{len(lags)} closes of 1 s windows at {RATE} facts/s"
            yield Row(f"{runner}: bound to closed, median", float(np.median(lags)), "s", note=note)
            yield Row(f"{runner}: bound to closed, longest", max(lags), "s")
            yield Row(f"{runner}: resident, learner, worker and job server", size, "MiB")
