"""ArchiveLog: a branch that copies the event log to Parquet (design, idea 9)."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import apache_beam as beam
from apache_beam import coders
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer

from beam_pipelines.learn.frames import Frame, decode_frame
from beam_pipelines.learn.times import ms_of, next_multiple, timestamp_of
from contracts import ORIGIN, LogEntry, Position
from stores.archive import write_archive
from stores.connect import connect
from stores.dataset import Dataset
from stores.objects import ObjectStore, open_objects
from stores.statistics import StatisticsStore

_NOT_ARMED = -1

# Partition -> newest entry that this process has archived.
_archived: dict[int, Position] = {}


def archived_here(partition: int) -> Position:
    """Newest entry of a partition that this process has archived; ``ORIGIN`` if none, or if another process does."""
    return _archived.get(partition, ORIGIN)


def by_partition(frame: bytes) -> tuple[int, bytes]:
    """Key a frame by its partition."""
    return decode_frame(frame).partition, frame


class ArchiveLog(beam.DoFn):
    """Gathers a partition's frames and writes them at each multiple of the archive interval of log time.

    What is behind the archive's end at the start of the job (``archived``, one position a partition) is written;
    the rest is there already. Nothing is written once Redis holds another dataset: an object whose range began in the
    log that was and ended in the one that is would pass for all that is in between.
    """

    FRAMES = beam.DoFn.StateParam(BagStateSpec("frames", coders.BytesCoder()))
    ARMED = beam.DoFn.StateParam(ReadModifyWriteStateSpec("armed", coders.VarIntCoder()))
    WRITE_SPEC = TimerSpec("write", TimeDomain.WATERMARK)
    WRITE = beam.DoFn.TimerParam(WRITE_SPEC)

    def __init__(
        self, uri: str, archived: Sequence[Position], interval_ms: int, lineage: str, redis_url: str, dataset: Dataset
    ) -> None:
        self._uri = uri
        self._archived = tuple(archived)
        self._interval_ms = interval_ms
        self._lineage = lineage
        self._redis_url = redis_url
        self._dataset = dataset
        self._store: StatisticsStore | None = None

    def setup(self) -> None:
        """Connect."""
        self._store = StatisticsStore(connect(self._redis_url), self._lineage)

    def process(
        self,
        element: tuple[int, bytes],
        frames: Any = FRAMES,
        armed: Any = ARMED,
        write: Any = WRITE,
    ) -> None:
        """Keep one frame until it is written."""
        _, data = element
        frames.add(data)
        if armed.read() in (None, _NOT_ARMED):
            due = next_multiple(decode_frame(data).entries[-1].append_ms, self._interval_ms)
            write.set(timestamp_of(due))
            armed.write(due)

    @on_timer(WRITE_SPEC)
    def write_due(
        self,
        key: Any = beam.DoFn.KeyParam,
        at: Any = beam.DoFn.TimestampParam,
        frames: Any = FRAMES,
        armed: Any = ARMED,
        write: Any = WRITE,
    ) -> None:
        """Write what was kept; frames from the due time on stay whole in this object, too."""
        if ms_of(at) < (armed.read() or 0):
            return
        if self._store is not None:
            self._dataset.require_same(self._store.dataset())
        kept = [decode_frame(data) for data in frames.read()]
        archive_frames(open_objects(self._uri), kept, self._archived[key])
        _archived[key] = max([archived_here(key), *(frame.entries[-1].position for frame in kept)])
        frames.clear()
        armed.write(_NOT_ARMED)


def archive_frames(objects: ObjectStore, frames: Sequence[Frame], archived: Position) -> None:
    """Write the entries behind ``archived`` of one partition's frames, one object for each run without a hole."""
    runs: list[list[Frame]] = []
    for frame in sorted(frames, key=lambda found: found.after):
        if runs and runs[-1][-1].entries[-1].position == frame.after:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    for run in runs:
        entries: list[LogEntry] = [
            entry for entry in chain.from_iterable(frame.entries for frame in run) if entry.position > archived
        ]
        if entries:
            write_archive(objects, entries, after=max(run[0].after, archived))
