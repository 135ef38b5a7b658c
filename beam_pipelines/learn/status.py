"""What a worker says of itself once a second, into Redis: absolute values, so that nothing is counted twice."""

import os
from collections.abc import Sequence

import structlog

from beam_pipelines.learn.archive_stage import archived_here
from beam_pipelines.learn.config import LearnConfig
from beam_pipelines.learn.decode import COUNTING
from beam_pipelines.learn.held import held_bytes
from beam_pipelines.learn.sight import ENTRIES_LOST, SOURCE
from contracts import BackdropError, Position
from stores.connect import connect
from stores.dead_letters import DeadLetters
from stores.progress import progress_of
from stores.redis_log import RedisEventLog
from stores.statistics import StatisticsStore

# A category costs a handful of keys for ever, and whoever asks for decisions may name any.
MANY_CATEGORIES = 1_000

_log = structlog.get_logger("learn")


class Status:
    """Writes the status of this process's job; its stages run in this process, so what they hold can be told."""

    def __init__(self, config: LearnConfig, archived: Sequence[Position]) -> None:
        """``archived`` is how far the archive reached when the job started, one position a partition."""
        client = connect(config.redis_url)
        self._store = StatisticsStore(client, config.lineage)
        self._log = RedisEventLog(client, config.partitions)
        self._letters = DeadLetters(client)
        self._archived = tuple(archived) if config.archive_uri else ()
        self._warned = False

    def write(self, **counted: int) -> None:
        """Write once, with what else the worker ``counted``; where Redis does not answer, the job will say so."""
        try:
            progress = progress_of(self._store, self._log)
            facts = self._store.facts()
            folded = sum(found.total for found in facts.values())
            tally = self._store.tally()
            self._store.put_status(
                {
                    "facts": folded,
                    "read_duplicate": max(0, tally.get(COUNTING, 0) - folded) if progress.caught_up else 0,
                    "categories": len(facts),
                    "low_watermark_ms": progress.low_watermark_ms,
                    "newest_ms": progress.newest_ms,
                    "lag_ms": progress.lag_ms,
                    "updated_ms": progress.log_ms,
                    "pid": os.getpid(),
                    "fold_bytes": held_bytes(),
                    ENTRIES_LOST: self._letters.count_by_reason(SOURCE).get(ENTRIES_LOST, 0),
                    **counted,
                    **{
                        f"archived_ms:{partition}": max(begun, archived_here(partition)).append_ms
                        for partition, begun in enumerate(self._archived)
                    },
                    **{f"read_{name}": count for name, count in tally.items()},
                }
            )
        except BackdropError as error:
            _log.warning("status_not_written", error=str(error))
            return
        if len(facts) > MANY_CATEGORIES and not self._warned:
            _log.warning("many_categories", categories=len(facts), limit=MANY_CATEGORIES, lineage=self._store.lineage)
            self._warned = True
