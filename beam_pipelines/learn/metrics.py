"""Prometheus metrics of a learner, served by its parent process, which outlives its workers.

Nearly all are read from Redis when they are asked for: absolute values, which no restart resets and which any number
of learners of a lineage agree on.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from beam_pipelines.learn.config import LearnConfig
from beam_pipelines.learn.decode import COUNTING, DROP_REASONS, POISON_REASONS
from beam_pipelines.learn.sight import ENTRIES_LOST, SOURCE
from contracts import SettingsError, StoreError
from stores.connect import connect
from stores.dead_letters import DeadLetters
from stores.progress import Progress, progress_of
from stores.record_view import RecordView
from stores.redis_log import RedisEventLog
from stores.statistics import CategoryFacts, StatisticsStore

PREFIX = "backdrop_learner"
# Callers may make categories up: a time series each would be one too many.
MAX_LABELLED = 200

_TIMEOUT_S = 2.0
# What a worker said of its own memory holds only while it lives.
_SILENT_MS = 10_000

_log = structlog.get_logger("learn")


@dataclass(slots=True)
class ParentCounts:
    """What only the parent process knows."""

    restarts: int = 0


@contextmanager
def serving_metrics(config: LearnConfig) -> Iterator[ParentCounts]:
    """Serve ``/metrics`` on ``metrics_host:metrics_port`` while the block runs; not for port 0, and not for a replay.

    Raises:
        SettingsError: if the port cannot be listened on.
    """
    counts = ParentCounts()
    if config.metrics_port == 0 or config.ends:
        yield counts
        return
    registry = CollectorRegistry()
    place = f"{config.metrics_host}:{config.metrics_port}"
    with connect(config.redis_url, timeout_s=_TIMEOUT_S, retries=0) as client:
        registry.register(
            LearnerMetrics(
                StatisticsStore(client, config.lineage),
                RecordView(client, config.lineage),
                RedisEventLog(client, config.partitions),
                DeadLetters(client),
                counts,
            )
        )
        try:
            server, thread = start_http_server(config.metrics_port, config.metrics_host, registry)
        except OSError as error:
            message = f"metrics cannot be served on {place} ({error.strerror}): choose another learn.metrics_port"
            raise SettingsError(message) from error
        _log.info("metrics_served", place=place)
        try:
            yield counts
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@dataclass(frozen=True, slots=True, eq=False)
class LearnerMetrics(Collector):
    """Reads a lineage's metrics each time they are asked for."""

    store: StatisticsStore
    view: RecordView
    log: RedisEventLog
    letters: DeadLetters
    counts: ParentCounts
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def describe(self) -> Iterable[Metric]:
        """Nothing is read before it is asked for."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All metrics; where Redis does not answer, only that and what the parent knows."""
        restarts = _counter("worker_restarts", "Workers that ended and were started again.", self.counts.restarts)
        with self._one_at_a_time:
            try:
                return [_gauge("redis_up", "Whether Redis answered.", 1), restarts, *self._stored()]
            except StoreError as error:
                _log.warning("metrics_not_read", error=str(error))
                return [_gauge("redis_up", "Whether Redis answered.", 0), restarts]

    def _stored(self) -> list[Metric]:
        progress = progress_of(self.store, self.log)
        facts, status = self.store.facts(), self.store.status()
        silent_ms = max(0, progress.log_ms - int(status["updated_ms"])) if "updated_ms" in status else None
        fold_bytes = status.get("fold_bytes") if silent_ms is not None and silent_ms < _SILENT_MS else None
        letters = _known((*POISON_REASONS, ENTRIES_LOST), self.letters.count_by_reason(SOURCE))
        return [
            *_facts(sum(found.total for found in facts.values()), self.store.tally(), caught_up=progress.caught_up),
            _counters("dead_letters", "Log entries, or rows of them, that were put aside.", "reason", letters),
            *self._progress(progress, silent_ms),
            *self._partitions(status),
            *self._state(tuple(facts), fold_bytes),
            *self._packs(facts, progress.log_ms),
        ]

    def _progress(self, progress: Progress, silent_ms: int | None) -> list[Metric]:
        low_ms, lag_ms = progress.low_watermark_ms, progress.lag_ms
        if lag_ms and low_ms < 0:
            # Nothing was ever published: as far behind as the log's first entry.
            firsts = [first for partition in range(self.log.partitions) if (first := self.log.first(partition))]
            lag_ms = progress.log_ms - min((first.append_ms for first in firsts), default=progress.log_ms)
        found = [_gauge("publish_lag_seconds", "Log clock minus low watermark; 0 if nothing waits.", lag_ms / 1000)]
        if low_ms >= 0:
            text = "Log time up to which all is folded, published and closed."
            found.append(_gauge("low_watermark_timestamp_seconds", text, low_ms / 1000))
        if silent_ms is not None:
            found.append(_gauge("status_age_seconds", "Since a worker last gave a sign of life.", silent_ms / 1000))
        return found

    def _partitions(self, status: Mapping[str, str]) -> list[Metric]:
        reading: dict[str, float] = {}
        archiving: dict[str, float] = {}
        trimmed: dict[str, float] = {}
        for partition in range(self.log.partitions):
            label, newest = str(partition), self.log.last(partition)
            read = self.store.tally_mark(partition)
            reading[label] = 0.0 if read >= newest else (newest.append_ms - read.append_ms) / 1000
            archived_ms = status.get(f"archived_ms:{partition}")
            if archived_ms is not None:
                archiving[label] = max(0, newest.append_ms - int(archived_ms)) / 1000
            trimmed[label] = self.log.trimmed(partition).append_ms / 1000
        sizes = {str(partition): size for partition, size in enumerate(self.view.log_sizes(self.log.partitions))}
        entries = {label: size.entries for label, size in sizes.items()}
        memory = {label: size.memory_bytes for label, size in sizes.items()}
        # Of the running worker: like any counter it begins again with it.
        trims = [int(status["trimmed_entries"])] if "trimmed_entries" in status else []
        return [
            *(_counter("log_trimmed_entries", "Log entries trimmed.", count) for count in trims),
            _gauges("read_lag_seconds", "Newest log entry minus the newest one read.", "partition", reading),
            _gauges("archive_lag_seconds", "Newest log entry minus the newest one archived.", "partition", archiving),
            _gauges("log_trimmed_timestamp_seconds", "Log time below which entries may be gone.", "partition", trimmed),
            _gauges("log_entries", "Entries in the log.", "partition", entries),
            _gauges("log_bytes", "Redis memory of the log.", "partition", memory),
        ]

    def _state(self, categories: Sequence[str], fold_bytes: str | None) -> list[Metric]:
        held = dict(self.view.memory_bytes(categories))
        if fold_bytes is not None:
            held["fold"] = int(fold_bytes)
        return [
            _gauge("categories", "Categories with statistics.", len(categories)),
            _gauge("open_windows", "Event-time windows not closed yet.", len(self.view.open_windows(categories))),
            _gauges("state_bytes", "Memory: base, deltas and pack in Redis, fold in the worker.", "what", held),
        ]

    def _packs(self, facts: Mapping[str, CategoryFacts], log_ms: int) -> list[Metric]:
        largest = sorted(facts, key=lambda name: (-facts[name].total, name))[:MAX_LABELLED]
        heads = self.view.pack_heads(largest)
        generations = {name: head.generation for name, head in heads.items()}
        ages = {name: max(0, log_ms - head.written_ms) / 1000 for name, head in heads.items() if head.written_ms >= 0}
        return [
            _gauges("pack_generation", "Generation of a category's pack.", "category", generations),
            _gauges("pack_age_seconds", "Since a category's pack was written.", "category", ages),
        ]


def _facts(folded: int, tally: Mapping[str, int], *, caught_up: bool) -> list[Metric]:
    counting = tally.get(COUNTING, 0)
    dropped = _known(DROP_REASONS, {name: count for name, count in tally.items() if name != COUNTING})
    found = [
        _counter("facts_folded", "Facts counted in the statistics, each once.", folded),
        _counter("facts_counting", "Facts read that count, duplicates included.", counting),
        _counters("facts_dropped", "Facts read that do not count.", "reason", dropped),
    ]
    if caught_up:
        # Otherwise the difference also holds what is on its way.
        found.append(_counter("facts_duplicate", "Facts read that were counted before.", max(0, counting - folded)))
    return found


def _known(reasons: Iterable[str], counts: Mapping[str, int]) -> dict[str, int]:
    """Counts with a nought for each reason that has none: what rises from nothing must be seen to rise."""
    return dict.fromkeys(reasons, 0) | dict(counts)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=(label,))
    for key, value in sorted(values.items()):
        family.add_metric((key,), value)
    return family


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=(label,))
    for key, value in sorted(values.items()):
        family.add_metric((key,), value)
    return family
