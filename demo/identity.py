"""The check that closes the demo: what the stream left in the store against a batch replay of the event log."""

import time
from collections.abc import Callable
from pathlib import Path

import redis

from contracts import UnavailableError
from demo.report import IdentityCheck
from stores import RedisEventLog, StatisticsStore, open_objects

DRAIN_S = 120.0
_POLL_S = 0.2


def wait_drained(client: redis.Redis, store: StatisticsStore, partitions: int, watch: Callable[[int], None]) -> None:
    """Wait until the learner's position is the log's end; ``watch`` is told how far behind it is (ms).

    Raises:
        UnavailableError: if it takes longer than two minutes.
    """
    from stores import progress_of

    log = RedisEventLog(client, partitions)
    deadline = time.monotonic() + DRAIN_S
    while not (progress := progress_of(store, log)).caught_up:
        if time.monotonic() > deadline:
            message = (
                f"the learner is still {progress.lag_ms / 1000:.0f} s behind the end of the event log "
                f"after {DRAIN_S:.0f} s: see its log"
            )
            raise UnavailableError(message)
        watch(progress.lag_ms)
        time.sleep(_POLL_S)


def check_identity(client: redis.Redis, store: StatisticsStore, partitions: int, objects: Path) -> IdentityCheck:
    """Replay the event log, archive included, and compare bit for bit.

    Raises:
        UnavailableError: if the learner is not at the log's end, or Redis does not answer.
        GapError: if the log is not whole.
    """
    from beam_pipelines.replay import compare

    found = compare(store, RedisEventLog(client, partitions), open_objects(str(objects)))
    return IdentityCheck(found.identical, found.windows_closed, found.facts, found.differences)
