"""The studio's background work: tails the event log, keeps counts, answers the page's questions."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from contracts import (
    BackdropError,
    Clock,
    ContextSchema,
    CreativeRef,
    EventLog,
    FormatError,
    LineageSettings,
    Position,
    decode_facts,
)
from learner import COUNTS, counting
from serving.config import ServerConfig
from serving.decide import Seen
from serving.metrics import Metrics
from serving.refresh import PackTable
from serving.studio import snapshot
from serving.studio.counts import Counts
from serving.studio.snapshot import Plain, Wanted

LATEST_DECISIONS = 50
RATE_SPAN_MS = 10_000

_POLL_S = 0.5
_MIN_POINTS = 3
_READ_BLOBS = 64
_CREATIVES_FOR_S = 30.0
_MAX_SLOTS_KEPT = 5_000

_log = structlog.get_logger("serving.studio")


class CreativeSource(Protocol):
    """The creative index."""

    def read(self, item: str, placement: str) -> Mapping[str, CreativeRef]:
        """Creatives of an (item, placement) by arm."""
        ...


@dataclass(slots=True)
class RateMeter:
    """How fast a running total rises, over the last ten seconds."""

    points: deque[tuple[int, int]]

    def add(self, now_ms: int, total: int) -> None:
        """Note the total at a time."""
        self.points.append((now_ms, total))
        while len(self.points) >= _MIN_POINTS and now_ms - self.points[1][0] >= RATE_SPAN_MS:
            self.points.popleft()

    def per_second(self) -> float:
        """The mean rise."""
        if not self.points:
            return 0.0
        (begin_ms, begin), (end_ms, end) = self.points[0], self.points[-1]
        return (end - begin) * 1000 / (end_ms - begin_ms) if end_ms > begin_ms else 0.0


class Studio:
    """Counts what the log says and remembers the latest decisions of this process."""

    def __init__(
        self,
        config: ServerConfig,
        schema: ContextSchema,
        packs: PackTable,
        metrics: Metrics,
        clock: Clock,
        log: EventLog,
        index: CreativeSource,
    ) -> None:
        """Begin at ``studio_history_ms`` before now."""
        self._schema = schema
        self._settings = LineageSettings(
            schema_hash=schema.hash,
            d=schema.d,
            window_ms=config.window_ms,
            attribution_ms=config.attribution_ms,
            grace_ms=config.grace_ms,
        )
        self._media = config.media_base_url.rstrip("/")
        self._packs = packs
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._index = index
        self._lock = threading.Lock()
        self._counts = Counts()
        self._latest: deque[Seen] = deque(maxlen=LATEST_DECISIONS)
        begin = Position(max(0, clock.now_ms() - config.studio_history_ms), 0)
        self._after = [begin] * log.partitions
        self._lag_ms: int | None = None
        self._facts = RateMeter(deque())
        self._decisions = RateMeter(deque())
        self._creatives: dict[tuple[str, str], tuple[float, Mapping[str, CreativeRef]]] = {}

    def see(self, seen: Seen) -> None:
        """Remember a decision."""
        self._latest.append(seen)

    async def run(self) -> None:
        """Follow the log until cancelled; waits while it is away."""
        while True:
            try:
                more = await asyncio.to_thread(self.follow)
            except BackdropError as error:
                _log.info("studio_waits", error=str(error))
                more = False
            except Exception:
                # A defect must not end the task: the page would stand still and say nothing.
                _log.exception("studio_broke")
                more = False
            if not more:
                await asyncio.sleep(_POLL_S)

    def follow(self) -> bool:
        """Read once from each partition and count; tells whether more is waiting."""
        more = False
        for partition in range(self._log.partitions):
            read = self._log.read(partition, self._after[partition], _READ_BLOBS)
            for entry in read.entries:
                self._count(entry.blob, entry.append_ms)
                self._after[partition] = entry.position
            if read.entries:
                self._lag_ms = max(0, read.log_ms - read.entries[-1].append_ms)
                more = more or len(read.entries) == _READ_BLOBS
            else:
                self._lag_ms = 0
        now_ms = self._clock.now_ms()
        with self._lock:
            self._facts.add(now_ms, self._counts.facts)
            self._decisions.add(now_ms, self._metrics.decisions_total)
        return more

    def render(self, wanted: Wanted) -> bytes:
        """The page's data as JSON; takes milliseconds, so not for the event loop's thread."""
        latest = list(self._latest)
        with self._lock:
            keys = snapshot.wanted_slots(self._counts, wanted)
        asked = keys[: wanted.limit]
        # The index is asked outside the lock: it may take as long as Redis likes.
        creatives = {key: self._creatives_of(*key) for key in asked}
        with self._lock:
            slots = snapshot.slots_part(self._counts, asked, creatives)
            overview = self._overview()
        answer = {
            **overview,
            "slots": slots,
            "slot_count": len(keys),
            "decisions": snapshot.decisions_part(latest, self._schema.names),
        }
        return snapshot.encode(answer)

    def _count(self, blob: bytes, append_ms: int) -> None:
        try:
            batch = decode_facts(blob)
        except FormatError:
            # The learner dead-letters and counts it; the studio only looks on.
            return
        holds = counting(batch, append_ms, self._settings) == COUNTS
        with self._lock:
            self._counts.fold(batch, append_ms, holds)

    def _overview(self) -> Plain:
        counts, packs = self._counts, self._packs.packs
        now_ms = self._clock.now_ms()
        newest = max((pack.loaded_ms for pack in packs.values()), default=None)
        return {
            "now_ms": now_ms,
            "tiles": {
                "decisions_per_s": self._decisions.per_second(),
                "facts_per_s": self._facts.per_second(),
                "facts": counts.facts,
                "shown": sum(tally.shown for tally in counts.policies.values()),
                "clicked": sum(tally.clicked for tally in counts.policies.values()),
                "log_lag_ms": self._lag_ms,
                "lineage": self._packs.lineage,
                "packs": len(packs),
                "generation": max((pack.model.generation for pack in packs.values()), default=None),
                "model_age_ms": None if newest is None else max(0, now_ms - newest),
            },
            "policies": snapshot.policies_part(counts),
            "series": snapshot.series_part(counts),
            "categories": sorted(set(counts.categories.values())),
            "placements": sorted({cell.placement for cell in counts.cells}),
        }

    def _creatives_of(self, item: str, placement: str) -> Mapping[str, CreativeRef]:
        now_s = time.monotonic()
        held = self._creatives.get((item, placement))
        if held is not None and now_s - held[0] < _CREATIVES_FOR_S:
            return held[1]
        try:
            read = self._index.read(item, placement)
        except BackdropError:
            return held[1] if held else {}
        found = {arm: self._absolute(ref) for arm, ref in read.items()}
        if len(self._creatives) >= _MAX_SLOTS_KEPT:
            self._creatives.clear()
        self._creatives[(item, placement)] = (now_s, found)
        return found

    def _absolute(self, ref: CreativeRef) -> CreativeRef:
        return replace(ref, url=self._media + ref.url) if ref.url.startswith("/") else ref
