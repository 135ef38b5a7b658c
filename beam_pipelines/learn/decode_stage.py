"""DecodeFacts and RouteFacts as stages: poison to the dead letters, drops to counters (design, idea 4)."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import apache_beam as beam
import structlog
from apache_beam.metrics.metric import Metrics

from beam_pipelines.learn.chunk import FactColumns
from beam_pipelines.learn.decode import Poison, decode_entries
from beam_pipelines.learn.frames import decode_frame
from beam_pipelines.learn.route import route
from contracts import LineageSettings
from stores.connect import connect
from stores.dead_letters import DeadLetters
from stores.statistics import StatisticsStore

COUNTERS = "learn"
SOURCE = "learn"


class PoisonSink(Protocol):
    """Where poison is put."""

    def put(self, found: tuple[Poison, ...]) -> None:
        """Keep poison of one partition, in log order; again and again if it is read again."""
        ...


class DeadLetterSink:
    """Puts poison among the dead letters, each position once, however often a learner reads it."""

    def __init__(self, letters: DeadLetters, store: StatisticsStore) -> None:
        self._letters = letters
        self._store = store

    def put(self, found: tuple[Poison, ...]) -> None:
        """Put what is behind the mark, then move the mark."""
        if not found:
            return
        partition = found[0].entry.partition
        mark = self._store.dead_mark(partition)
        fresh = [poison for poison in found if poison.entry.position > mark]
        for poison in fresh:
            detail: Mapping[str, Any] = {
                "partition": partition,
                "position": str(poison.entry.position),
                "rows": poison.rows,
                "detail": poison.detail[:500],
            }
            self._letters.put(SOURCE, poison.reason, detail, poison.entry.blob)
        if fresh:
            self._store.set_dead_mark(partition, fresh[-1].entry.position)


class DecodeFacts(beam.DoFn):
    """Frames to fact columns (bytes)."""

    def __init__(self, settings: LineageSettings, lineage: str, redis_url: str) -> None:
        self._settings = settings
        self._lineage = lineage
        self._redis_url = redis_url
        self._sink: PoisonSink | None = None

    def process(self, element: bytes) -> Iterator[bytes]:
        """Decode a frame."""
        decoded = decode_entries(decode_frame(element).entries, self._settings)
        for reason, count in decoded.skipped.items():
            _count(f"dropped_{reason}", count)
        for poison in decoded.poison:
            _count(f"dropped_{poison.reason}", poison.rows)
            structlog.get_logger("learn").warning(
                "poison", reason=poison.reason, position=str(poison.entry.position), rows=poison.rows
            )
        if decoded.poison:
            self._open_sink().put(decoded.poison)
        if len(decoded.facts):
            yield decoded.facts.encode()

    def _open_sink(self) -> PoisonSink:
        if self._sink is None:
            client = connect(self._redis_url)
            self._sink = DeadLetterSink(DeadLetters(client), StatisticsStore(client, self._lineage))
        return self._sink


class RouteFacts(beam.DoFn):
    """Fact columns to chunks of counting facts, keyed by (shard, window)."""

    def __init__(self, settings: LineageSettings) -> None:
        self._settings = settings

    def process(self, element: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Judge and split."""
        routed = route(FactColumns.decode(element), self._settings)
        for reason, count in routed.dropped.items():
            _count(f"dropped_{reason}", count)
        for place, facts in routed.chunks.items():
            _count("routed", len(facts))
            yield place.to_bytes(), facts.encode()


def _count(name: str, by: int) -> None:
    counter: Any = Metrics.counter(COUNTERS, name)
    counter.inc(by)
