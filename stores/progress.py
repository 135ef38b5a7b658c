"""How far a lineage has come in the event log."""

from dataclasses import dataclass

from contracts import EventLog
from stores.statistics import StatisticsStore


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a lineage is: its low watermark, the newest entry of the log, and the log's clock (all ms)."""

    low_watermark_ms: int
    newest_ms: int
    log_ms: int

    @property
    def caught_up(self) -> bool:
        """Whether every entry of the log is folded and published."""
        return self.low_watermark_ms > self.newest_ms

    @property
    def lag_ms(self) -> int:
        """How far the served model is behind the log's clock; 0 where nothing waits."""
        return 0 if self.caught_up else self.log_ms - max(self.low_watermark_ms, 0)


def progress_of(store: StatisticsStore, log: EventLog) -> Progress:
    """How far the lineage is now; the log is looked at before the watermark, so it never seems further than it is."""
    newest = max((log.last(partition).append_ms for partition in range(log.partitions)), default=0)
    log_ms = log.read(0, log.last(0), 1).log_ms
    return Progress(store.low_watermark(), newest, log_ms)
