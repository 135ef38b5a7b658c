"""Where a learner begins to read (design, ideas 8 and 9)."""

from dataclasses import dataclass

from contracts import ORIGIN, EventLog, LineageSettings, Position
from stores.archive import archived_through
from stores.objects import ObjectStore
from stores.statistics import StatisticsStore
from stores.union_log import UnionLog


@dataclass(frozen=True, slots=True)
class Start:
    """Positions behind which a job reads and behind which it archives, one each a partition."""

    reading: tuple[Position, ...]
    archived: tuple[Position, ...]


def start_of(
    store: StatisticsStore,
    log: EventLog,
    settings: LineageSettings,
    objects: ObjectStore | None,
    *,
    archives: bool = True,
) -> Start:
    """Where to begin: every window still open is read whole, and the archive stays without a hole.

    ``archives`` False: the job reads the archive but does not go on writing it.

    Raises:
        GapError: if the log was trimmed above that, and the archive does not fill the gap.
    """
    union = UnionLog(objects, log)
    low_ms = store.low_watermark()
    restart = ORIGIN if low_ms < 0 else Position(max(0, settings.restart_ms(low_ms)), 0)
    reading: list[Position] = []
    archived: list[Position] = []
    for partition in range(log.partitions):
        reached = restart if objects is None or not archives else archived_through(objects, partition, ORIGIN)
        archived.append(reached)
        reading.append(min(restart, reached))
        union.require_whole(partition, reading[-1])
    return Start(tuple(reading), tuple(archived))
