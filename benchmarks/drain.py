"""Draining a backlog on Prism: facts a second, from the first frames read to everything published."""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.learn import PRISM, progress_of
from beam_pipelines.replay import LineageState, compare, entries_in_order, replay
from benchmarks.job import PLAIN, Bench, D, bench, cpu_s, learner, settings_of, wait_for
from benchmarks.plain_job import READING, published
from benchmarks.report import Row, at_least
from benchmarks.traffic import LINEAGE, Traffic
from contracts import packed_length
from demo.measure import descendants
from stores.connect import command, connect

PACKAGES = ("apache-beam", "numpy", "pyarrow")

FACTS = 1_000_000
BATCH = 1_000
RATE = 150_000
PLAIN_FACTS = 8_000
RATIO = 100


@dataclass(frozen=True, slots=True)
class Drained:
    """How fast a backlog went: ``rate`` facts a second behind ``start_s`` of start-up, and the cores used meanwhile."""

    rate: float
    start_s: float
    cores: float


def fill(place: Bench, facts: int) -> int:
    """Append a backlog in batches, over all partitions in turn; returns how many facts were appended."""
    traffic = Traffic()
    for number in range(facts // BATCH):
        blob = traffic.batch(place.log.clock_ms(), BATCH)
        place.log.append(number % place.log.partitions, [blob])
    return facts // BATCH * BATCH


def drain(place: Bench, facts: int, *, runner: str = PRISM, activity: str = "") -> Drained:
    """Let the learner drain what ``fill`` appended; with a write plan (JSON) it publishes user activity, too."""
    began = time.monotonic()
    with learner(place, settings_of(), runner=runner, activity=activity) as pid:
        first = wait_for("the first frame", lambda: place.store.tally() != {})
        pids = descendants(pid)
        before_s = sum(map(cpu_s, pids))
        # Some frames were decoded before this process saw the first: the rate is that of the rest.
        rest = facts - sum(place.store.tally().values())
        last = wait_for("everything published", lambda: progress_of(place.store, place.log).caught_up)
        used_s = sum(map(cpu_s, pids)) - before_s
    return Drained(rest / (last - first), first - began, used_s / (last - first))


def drain_plainly(place: Bench, facts: int) -> tuple[float, bool]:
    """Let the plain job drain a backlog: facts a second, and whether its sums are those of the replay."""
    replayed = replay(entries_in_order(place.log), settings_of(), lineage=LINEAGE, watermark_ms=1 << 62)
    with connect(place.url) as client, learner(place, settings_of(), program=PLAIN):
        began = wait_for("the first frame", lambda: command(client, "EXISTS", READING) == 1)
        ended = wait_for(
            "everything published",
            lambda: sum(sums.facts for sums in published(client, D).values()) >= replayed.facts,
            poll_s=0.2,
        )
        found = published(client, D)
    same = all(
        found[f"{category}/{window}/{arm}"].gram[np.triu_indices(D)].tobytes() == gram.tobytes()
        for category, window, arm, gram in _grams(replayed)
    )
    return facts / (ended - began), same


def _grams(state: LineageState) -> Iterator[tuple[str, int, str, NDArray[np.float64]]]:
    """Gram matrices (P,) of a replay by (category, window, arm), shards added up."""
    sums: dict[tuple[str, int, str], NDArray[np.float64]] = defaultdict(lambda: np.zeros(packed_length(D)))
    for category, found in state.categories.items():
        for (window, _), blob in found.deltas.items():
            for arm, gram in zip(blob.arms, blob.gram, strict=True):
                sums[category, window, arm] += gram
    for (category, window, arm), gram in sums.items():
        yield category, window, arm, gram


def rows() -> Iterator[Row]:
    """The figures."""
    with bench() as place:
        facts = fill(place, FACTS)
        found = drain(place, facts)
        same = compare(place.store, place.log)
        note = f"behind {found.start_s:.1f} s of start-up; {found.cores:.1f} cores by worker and Prism"
        yield at_least(f"drain {facts:,} facts, d = 32, 50 arms", found.rate, "facts/s", RATE, note=note)
        yield Row("the same, start-up included", facts / (found.start_s + facts / found.rate), "facts/s")
        yield at_least("drained state = batch replay", float(same.identical), "", 1, note=f"{same.facts:,} counted")
    with bench() as place:
        plain, exact = drain_plainly(place, fill(place, PLAIN_FACTS))
        note = f"one event an element, keyed state; {PLAIN_FACTS:,} facts; {'exact, too' if exact else 'NOT exact'}"
        yield Row("the same job written the plain way", plain, "facts/s", note=note)
        yield at_least("the job over the plain one", found.rate / plain, "times", RATIO)
