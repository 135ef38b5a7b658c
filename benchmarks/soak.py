"""Memory over time: the job, archive and all, under steady traffic with windows that close; sizes from /proc."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from beam_pipelines.learn import progress_of
from benchmarks.job import Bench, bench, cpu_s, is_prism, learner, settings_of, wait_for
from benchmarks.report import Row, at_most
from benchmarks.traffic import Steady
from contracts import LineageSettings, Position
from demo.measure import descendants

PACKAGES = ("apache-beam", "numpy", "pyarrow")

RATE = 5_000
# ``make soak`` sets it from ARGS.
MINUTES = float(os.environ.get("BACKDROP_SOAK_MINUTES") or 10)
LIMIT_MIB = 1.0

_SAMPLE_S = 1.0
_LINE_S = 30.0
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def resident_mib(pid: int) -> float:
    """Resident set of a process, MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MIB


def slope(minutes: list[float], sizes: list[float]) -> float:
    """Growth a minute, by least squares."""
    return float(np.polyfit(minutes, sizes, 1)[0])


def soak(place: Bench, settings: LineageSettings, pids: dict[str, int], minutes: float) -> Iterator[dict[str, float]]:
    """Sizes of the processes (MiB) each second once the first windows are closed, with ``minutes`` since then.

    The log is trimmed meanwhile as far as a learner that starts again allows.
    """
    wait_for("the first closed window", lambda: any(found.through >= 0 for found in place.store.facts().values()))
    began = time.monotonic()
    while (passed_s := time.monotonic() - began) < 60 * minutes:
        restart = Position(max(0, settings.restart_ms(place.store.low_watermark())), 0)
        for partition in range(place.log.partitions):
            place.log.trim(partition, restart)
        yield {"minutes": passed_s / 60, **{name: resident_mib(pid) for name, pid in pids.items()}}
        time.sleep(_SAMPLE_S)


def rows() -> Iterator[Row]:
    """The figures; on the way, a line each half minute."""
    settings = settings_of(window_ms=10_000, attribution_ms=20_000, grace_ms=5_000)
    with bench() as place, learner(place, settings, archive=True) as pid, Steady(place.log, RATE) as traffic:
        wait_for("the first facts", lambda: place.store.facts() != {})
        below = descendants(pid)
        pids = {"worker": next(p for p in below if not is_prism(p)), "Prism": next(filter(is_prism, below))}
        pids["Redis"] = place.redis_pid
        samples: list[dict[str, float]] = []
        began, facts, used_s = time.monotonic(), traffic.facts, sum(map(cpu_s, below))
        for sample in soak(place, settings, pids, MINUTES):
            if not samples or sample["minutes"] // (_LINE_S / 60) > samples[-1]["minutes"] // (_LINE_S / 60):
                lag_s = progress_of(place.store, place.log).lag_ms / 1000
                sizes = "  ".join(f"{name} {sample[name]:7.1f}" for name in pids)
                sys.stdout.write(f"  {sample['minutes']:5.1f} min  MiB: {sizes}  lag {lag_s:.1f} s\n")
                sys.stdout.flush()
            samples.append(sample)
        seconds = time.monotonic() - began
        rate, cores = (traffic.facts - facts) / seconds, (sum(map(cpu_s, below)) - used_s) / seconds
    times = [sample["minutes"] for sample in samples]
    for name in pids:
        held = [sample[name] for sample in samples]
        note = f"{min(held):.0f} to {max(held):.0f} MiB in {MINUTES:g} min at {rate:,.0f} facts/s"
        if name == "Redis":
            yield Row(f"growth of {name}, the log trimmed", slope(times, held), "MiB/min", note=note)
        else:
            yield at_most(f"growth of {name}", slope(times, held), "MiB/min", LIMIT_MIB, note=note)
    yield Row("cores used by worker and Prism", cores, "cores")
