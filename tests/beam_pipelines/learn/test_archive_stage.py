"""The archive's stage on a real Redis and a folder; its state is plain Python."""

from pathlib import Path

import pytest
import redis

from beam_pipelines.learn.archive_stage import ArchiveLog
from beam_pipelines.learn.frames import Frame, encode_frame
from beam_pipelines.learn.times import timestamp_of
from contracts import ORIGIN, LineageError, LogEntry, Position
from stores.archive import archived_through
from stores.connect import command
from stores.embedded import EmbeddedRedis
from stores.objects import FileObjectStore
from stores.statistics import StatisticsStore
from tests.beam_pipelines.facts import LINEAGE, settings_of


class Bag:
    """A bag of Beam's state, and as much of a single value and of a timer."""

    def __init__(self) -> None:
        self._held: list[object] = []

    def add(self, value: object) -> None:
        self._held.append(value)

    def write(self, value: object) -> None:
        self._held = [value]

    def set(self, value: object) -> None:
        self._held = [value]

    def clear(self) -> None:
        self._held = []

    def read(self) -> object:
        return list(self._held)


class Value(Bag):
    """A single value of Beam's state."""

    def read(self) -> object:
        return self._held[0] if self._held else None


def test_nothing_is_archived_into_another_datasets_history(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    store = StatisticsStore(redis_client, LINEAGE)
    store.begin(settings_of())
    dataset = store.dataset()
    assert dataset is not None
    objects = FileObjectStore(tmp_path)
    stage = ArchiveLog(str(tmp_path), (ORIGIN,), 10, LINEAGE, redis_server.url, dataset)
    stage.setup()
    frames, armed, timer = Bag(), Value(), Value()

    def read_and_write(after: Position, at_ms: int) -> None:
        frame = Frame(0, after, (LogEntry(0, Position(at_ms, 0), b"x"),))
        stage.process((0, encode_frame(frame)), frames, armed, timer)
        stage.write_due(0, timestamp_of(at_ms + 10), frames, armed, timer)

    read_and_write(ORIGIN, 5)
    assert archived_through(objects, 0, ORIGIN) == Position(5, 0)
    command(redis_client, "FLUSHALL")
    with pytest.raises(LineageError, match="its record is gone"):
        read_and_write(Position(5, 0), 25)
    store.begin(settings_of())
    with pytest.raises(LineageError, match="begun anew"):
        read_and_write(Position(25, 0), 45)
    assert archived_through(objects, 0, ORIGIN) == Position(5, 0)
