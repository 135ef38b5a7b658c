"""DecodeFacts and RouteFacts as stages: poison to the dead letters, verdicts to the tally (design, idea 4)."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
import redis
import structlog
from apache_beam.metrics.metric import Metrics

from beam_pipelines.learn.chunk import FactColumns
from beam_pipelines.learn.decode import Decoded, Poison, decode_entries
from beam_pipelines.learn.frames import Frame, decode_frame
from beam_pipelines.learn.route import route
from contracts import LineageSettings
from stores.connect import connect
from stores.dead_letters import DeadLetters
from stores.statistics import StatisticsStore

NAMESPACE = "learn"
SOURCE = "learn"

_DETAIL_CHARS = 500

_log = structlog.get_logger("learn")


class Ledger:
    """Poison to the dead letters and verdicts to the tally, each log position once, however often it is read."""

    def __init__(self, letters: DeadLetters, store: StatisticsStore) -> None:
        self._letters = letters
        self._store = store

    def enter(self, frame: Frame, decoded: Decoded) -> None:
        """Enter what one frame held."""
        if decoded.poison:
            mark = self._store.tally_mark(frame.partition)
            for poison in decoded.poison:
                if poison.entry.position > mark:
                    self._bury(poison)
        positions = [entry.position for entry in frame.entries]
        self._store.count_entries(frame.partition, list(zip(positions, decoded.tallies, strict=True)))

    def _bury(self, poison: Poison) -> None:
        position = str(poison.entry.position)
        _log.warning("poison", reason=poison.reason, partition=poison.entry.partition, position=position)
        detail: Mapping[str, Any] = {
            "lineage": self._store.lineage,
            "partition": poison.entry.partition,
            "position": position,
            "rows": poison.rows,
            "detail": poison.detail[:_DETAIL_CHARS],
        }
        self._letters.put(SOURCE, poison.reason, detail, poison.entry.blob)


class DecodeFacts(beam.DoFn):
    """Frames to columns (bytes) of the facts that count; what does not is entered in the ledger.

    ``with_users`` adds the columns that ``ActivityFacts`` reads.
    """

    def __init__(self, settings: LineageSettings, lineage: str, redis_url: str, *, with_users: bool = False) -> None:
        self._settings = settings
        self._with_users = with_users
        self._lineage = lineage
        self._redis_url = redis_url
        self._client: redis.Redis | None = None
        self._ledger: Ledger | None = None

    def setup(self) -> None:
        """Connect."""
        self._client = client = connect(self._redis_url)
        self._ledger = Ledger(DeadLetters(client), StatisticsStore(client, self._lineage))

    def teardown(self) -> None:
        """Hang up: runners drop copies of a stage that have nothing to do."""
        if self._client is not None:
            self._client.close()

    def process(self, element: bytes) -> Iterator[bytes]:
        """Decode a frame."""
        frame = decode_frame(element)
        decoded = decode_entries(frame.entries, self._settings, with_users=self._with_users)
        if self._ledger is not None:
            self._ledger.enter(frame, decoded)
        for name, count in sum((Counter(tally) for tally in decoded.tallies), Counter()).items():
            counter: Any = Metrics.counter(NAMESPACE, name)
            counter.inc(count)
        if len(decoded.counting):
            yield decoded.counting.encode(decoded.activity.columns() if decoded.activity is not None else None)


class RouteFacts(beam.DoFn):
    """Columns of counting facts to chunks, keyed by (shard, window)."""

    def __init__(self, settings: LineageSettings) -> None:
        self._settings = settings

    def process(self, element: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Split."""
        for place, facts in route(FactColumns.decode(element), self._settings).items():
            yield place.to_bytes(), facts.encode()
