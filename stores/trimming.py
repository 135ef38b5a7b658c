"""Trimming the live log below what is archived and no lineage would read again (design, idea 9)."""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts import ORIGIN, EventLog, Position
from stores.archive import archived_on, archived_through, trim_safely
from stores.lineages import Lineage
from stores.objects import ObjectStore

ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What a trim did to a partition: ``entries`` went; all from ``below`` on stays, because of ``held_by``.

    ``held_by`` is the id of a lineage, or ``ARCHIVE`` where what follows is not archived yet.
    """

    partition: int
    entries: int
    below: Position
    held_by: str


class Trimmer:
    """Trims a log again and again; it remembers how far the archive reached, so that not all of it is listed again."""

    def __init__(self, log: EventLog, objects: ObjectStore) -> None:
        self._log = log
        self._objects = objects
        self._archived: dict[int, Position] = {}

    def trim(self, lineages: Iterable[Lineage]) -> tuple[Trimmed, ...]:
        """Trim each partition below the archive's end and the restart positions of all lineages that hold the log.

        Raises:
            FormatError: if there is an object of another kind in the archive's place.
            UnavailableError: if log or object store did not answer.
        """
        holding = {lineage.id: lineage.restart_ms for lineage in lineages if lineage.state.holds_log}
        done = []
        for partition in range(self._log.partitions):
            archived = self._reached(partition)
            ends = {ARCHIVE: archived} | {name: Position(restart_ms, 0) for name, restart_ms in holding.items()}
            held_by = min(ends, key=ends.__getitem__)
            entries = trim_safely(self._log, partition, restart_ms=holding.values(), archived=archived)
            done.append(Trimmed(partition, entries, ends[held_by], held_by))
        return tuple(done)

    def _reached(self, partition: int) -> Position:
        before = self._archived.get(partition, ORIGIN)
        reached = archived_on(self._objects, partition, before) if before > ORIGIN else ORIGIN
        if reached == before and self._log.last(partition) > before:
            # Nothing begins where the last object ended: another learner's objects may be cut elsewhere.
            reached = archived_through(self._objects, partition, before)
        self._archived[partition] = reached
        return reached
