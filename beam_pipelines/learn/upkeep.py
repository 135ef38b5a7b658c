"""What a learner does beside its job: it trims the log now and then, and notices that its lineage was given up."""

import time

import structlog

from beam_pipelines.learn.config import LearnConfig
from contracts import BackdropError
from stores.connect import connect
from stores.lineages import LineageState, LineageStore
from stores.objects import open_objects
from stores.redis_log import RedisEventLog
from stores.trimming import Trimmer

_log = structlog.get_logger("learn")


class Upkeep:
    """The upkeep of one learner; only one that keeps an archive trims. ``trimmed`` counts the entries that went."""

    def __init__(self, config: LearnConfig) -> None:
        client = connect(config.redis_url)
        trims = config.archive_uri and config.trim_interval_s > 0 and not config.ends
        self._lineage = config.lineage
        self._lineages = LineageStore(client)
        events = RedisEventLog(client, config.partitions)
        self._trimmer = Trimmer(events, open_objects(config.archive_uri)) if trims else None
        self._interval_s = config.trim_interval_s
        self._next = time.monotonic() + config.trim_interval_s
        self.trimmed = 0

    def retired(self) -> bool:
        """Whether the lineage was given up."""
        try:
            return self._lineages.states().get(self._lineage) is LineageState.RETIRED
        except BackdropError:
            return False

    def trim(self) -> None:
        """Trim the log if it is time; what cannot be done now is tried again next time."""
        if self._trimmer is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._interval_s
        try:
            for done in self._trimmer.trim(self._lineages.all()):
                self.trimmed += done.entries
                where = {"partition": done.partition, "below": str(done.below), "held_by": done.held_by}
                _log.info("trimmed", entries=done.entries, **where)
        except BackdropError as error:
            _log.warning("not_trimmed", error=str(error))
