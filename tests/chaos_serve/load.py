"""Load while Redis restarts again and again: no 5xx, no accepted fact lost, no memory that grows."""

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import redis

from contracts import LineageError, StoreError
from stores.connect import connect
from tests.chaos_serve.client_faults import resident_mib
from tests.chaos_serve.place import Place, facts_of
from tests.chaos_serve.traffic import NO_ANSWER, Traffic
from tests.serving.world import put_pack, wait_until

DRAIN_S = 30.0
GROWTH_LIMIT_MIB = 0.5
# What a process grows at its start is no leak: so large a part of the run is left out of the slope.
WARM_UP = 0.2
_BLOCKS = 24


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a run came to. ``slope`` and ``error`` in MiB/min; ``lost_told`` facts of pixels and clicks."""

    seconds: float
    decisions: int
    degraded: int
    told: int
    accepted: int
    refused: int
    restarts: int
    kills: int
    server_errors: int
    other_events: int
    lost_accepted: int
    lost_told: int
    dropped: int
    facts: int
    resident: tuple[float, float]
    slope: float
    error: float

    @property
    def faults(self) -> list[str]:
        """What is not as promised."""
        found = {
            f"{self.server_errors} decisions, pixels or clicks without an answer or with a 5xx": self.server_errors,
            f"/v1/events answered {self.other_events} times neither 202 nor 503": self.other_events,
            f"{self.lost_accepted} accepted facts are not in the log": self.lost_accepted,
            f"{self.lost_told} facts of pixels and clicks are lost, {self.dropped} counted": self.lost_told
            > self.dropped,
            f"memory grows by {self.slope:.2f} ± {self.error:.2f} MiB/min": self.slope - 2 * self.error
            > GROWTH_LIMIT_MIB,
        }
        return [words for words, holds in found.items() if holds]


def load(folder: Path, *, seconds: float, every_s: float, shoppers: int = 6, pause_s: float = 0.02) -> Loaded:
    """Run load for ``seconds`` while Redis ends each ``every_s``, in order and by SIGKILL in turn, and comes back.

    A pack changes each second.
    """
    samples: list[tuple[float, float]] = []
    restarts = kills = 0
    with Place(folder, read_deadline_ms=20, append_timeout_ms=2_000, refresh_ms=1_000) as place:
        began = time.monotonic()
        with Traffic(place.server.config.base_url, shoppers=shoppers, pause_s=pause_s) as traffic:
            second = 0
            while (passed := time.monotonic() - began) < seconds:
                second += 1
                if passed > (restarts + kills + 1) * every_s:
                    if restarts > kills:
                        place.redis.kill()
                        kills += 1
                    else:
                        place.redis.stop()
                        restarts += 1
                    place.redis.start()
                    sys.stdout.write(f"  {passed:5.0f} s: {traffic.decisions:,} decisions, {samples[-1][1]:.1f} MiB\n")
                    sys.stdout.flush()
                _publish(place.redis.url, second + 1)
                samples.append((passed / 60, resident_mib(place.server.process.pid)))
                time.sleep(max(0.0, began + second - time.monotonic()))
        wait_until(lambda: place.server.get("/readyz").json()["buffered_facts"] == 0, "all is written", DRAIN_S)
        assert place.defects() == []
        dropped = place.counter("dropped_facts", '{reason="buffer_overflow"}')
        facts = facts_of(place.redis.url)
    slope, error = growth(samples)
    statuses = {status: times for (route, status), times in traffic.answers.items() if route == "events"}
    sizes = [size for _, size in samples]
    return Loaded(
        seconds=time.monotonic() - began,
        decisions=traffic.decisions,
        degraded=traffic.flags["redis_unavailable"],
        told=len(traffic.told),
        accepted=len(traffic.accepted),
        refused=statuses.get(503, 0),
        restarts=restarts,
        kills=kills,
        server_errors=sum(traffic.server_errors.values()),
        other_events=sum(times for status, times in statuses.items() if status not in {202, 503, NO_ANSWER}),
        lost_accepted=len(traffic.accepted - facts),
        lost_told=len(traffic.told - facts),
        dropped=int(dropped),
        facts=len(facts),
        resident=(sizes[int(WARM_UP * len(sizes))], sizes[-1]),
        slope=slope,
        error=error,
    )


def growth(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and its standard error, MiB a minute, by least squares over the means of blocks.

    Sizes a second apart tell nearly the same: as single samples they would make the error too small.
    """
    kept = np.array(samples[int(WARM_UP * len(samples)) :])
    blocks = np.array([block.mean(axis=0) for block in np.array_split(kept, min(_BLOCKS, len(kept) // 2))])
    minutes, sizes = blocks.T
    (slope, _), covariance = np.polyfit(minutes, sizes, 1, cov=True)
    return float(slope), float(np.sqrt(covariance[0, 0]))


def _publish(url: str, generation: int) -> None:
    try:
        with closing(connect(url, timeout_s=1.0, retries=0)) as client:
            put_pack(client, "sofas", ("oak", "tile")[generation % 2], generation)
    except (StoreError, LineageError, redis.RedisError):
        # Redis has just been ended; the next second brings another pack.
        return
