"""What the server counts, for Prometheus."""

from collections.abc import Callable
from typing import Any, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
    values,
)

METRICS_TYPE = CONTENT_TYPE_LATEST.encode()

# Where the client library looks for the folder in which processes keep the numbers that they share.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

Together = Literal["livemostrecent", "livesum", "livemin"]

# The library leaves these untyped.
_value_class: Callable[..., Any] = values.MultiProcessValue
_mark_dead: Callable[..., None] = multiprocess.mark_process_dead
_collector: Callable[..., object] = multiprocess.MultiProcessCollector

# Dense where decisions are: each bucket is at most twice the last one from 0.1 to 20 ms.
_STAGES = (
    *(0.0001, 0.00015, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075),
    *(0.01, 0.015, 0.02, 0.035, 0.05, 0.1, 0.25, 1.0),
)


def forget_worker(slot: int, folder: str) -> None:
    """Take what a dead worker last said of itself (gauges) out of the shared folder."""
    _mark_dead(slot, folder)


class Metrics:
    """The server's counters, gauges and histograms, in a registry of their own.

    With a ``slot``, the number of a worker, they are kept in files of the shared folder under that number. A worker
    that takes another's place goes on from its numbers, so that counters never fall and files stay few.
    """

    def __init__(self, slot: int | None = None) -> None:
        """Declare them all."""
        # Not left to the library, which goes by an environment variable that Feast, for one, sets when it is imported.
        values.ValueClass = values.MutexValue if slot is None else _value_class(process_identifier=lambda: slot)
        self._shared = slot is not None
        self.registry = CollectorRegistry()
        self._requests = self._counter("requests", "Answers by route and status.", "route", "status")
        self._rejected = self._counter("rejected_requests", "Requests refused with a 4xx.", "reason")
        self._decisions = self._counter("decisions", "Decisions by policy.", "policy")
        self._flags = self._counter("decision_flags", "Decisions by flag.", "flag")
        self._events = self._counter("events", "Events by kind and what became of them.", "kind", "outcome")
        self._drops = self._counter("dropped_facts", "Facts that were accepted and lost.", "reason")
        self._appends = self._counter("appends", "Appends to the event log.", "outcome")
        self._clock_checks = self._counter("clock_checks", "Comparisons with the log's clock.", "outcome")
        self._packs = self._counter("pack_refreshes", "Packs fetched, by what became of them.", "outcome")
        self._reads = self._counter("failed_reads", "Decide requests answered without the stores.", "reason")
        self._damaged = self._counter("damaged_values", "Stored values that could not be decoded.")
        self._shadow = self._counter("shadow_samples", "Reads sampled for the shadow, by outcome.", "outcome")
        self._plan = Gauge("backdrop_read_plan_info", "The read plan.", ["fingerprint"], registry=self.registry)
        self._capping = self._counter("capping_impressions", "Impressions for the cap, by outcome.", "outcome")
        self._refreshes = self._counter("refreshes", "Background refreshes.", "what", "outcome")
        self.worker_restarts = self._counter("worker_restarts", "Workers started in the place of one that ended.")
        self.hung_workers = self._counter("hung_workers", "Workers that gave no sign of life and were killed.")
        self._cuts = self._counter("cut_connections", "Connections closed by the server's limits.", "reason")
        # The last words: how the workers' values are put together where there are several.
        self.clock_skew_ms = self._gauge("clock_skew_ms", "Local clock minus the log's.", "livemostrecent")
        self.buffered_facts = self._gauge("buffered_facts", "Facts waiting for the event log.", "livesum")
        self.pack_generation = self._gauge("pack_generation", "Generation served.", "livemin", "category")
        self._stages = Histogram(
            "backdrop_stage_seconds",
            "Time of a decide request by stage.",
            ["stage"],
            registry=self.registry,
            buckets=_STAGES,
        )
        self.decisions_total = 0
        self._children: dict[tuple[str, ...], Callable[[float], None]] = {}

    def request(self, route: str, status: int) -> None:
        """Count an answer."""
        self._add(self._requests, 1, "requests", route, str(status))

    def rejected(self, reason: str) -> None:
        """Count a refused request."""
        self._add(self._rejected, 1, "rejected", reason)

    def connection_cut(self, reason: str) -> None:
        """Count a connection that was closed by a limit."""
        self._add(self._cuts, 1, "cuts", reason)

    def decisions(self, policy: str, count: int) -> None:
        """Count a request's decisions."""
        self.decisions_total += count
        self._add(self._decisions, count, "decisions", policy)

    def flags(self, flags: tuple[str, ...]) -> None:
        """Count the flags of a decision, or of a whole request."""
        for flag in flags:
            self._add(self._flags, 1, "flags", flag)

    def event(self, kind: str, outcome: str, count: int = 1) -> None:
        """Count events."""
        self._add(self._events, count, "events", kind, outcome)

    def dropped(self, reason: str, count: int) -> None:
        """Count facts lost."""
        self._add(self._drops, count, "dropped", reason)

    def append(self, outcome: str) -> None:
        """Count an append to the log."""
        self._add(self._appends, 1, "appends", outcome)

    def clock_check(self, outcome: str) -> None:
        """Count a comparison of clocks."""
        self._add(self._clock_checks, 1, "clock", outcome)

    def read_failed(self, reason: str) -> None:
        """Count a request that the stores did not serve."""
        self._add(self._reads, 1, "reads", reason)

    def damaged(self, count: int) -> None:
        """Count stored values that could not be decoded."""
        self._damaged.inc(count)

    def shadow(self, outcome: str, count: int = 1) -> None:
        """Count reads sampled for the shadow."""
        self._add(self._shadow, count, "shadow", outcome)

    def plan(self, fingerprint: str) -> None:
        """Say which read plan is in use."""
        self._plan.labels(fingerprint).set(1)

    def capping(self, outcome: str, count: int) -> None:
        """Count impressions on their way to the frequency cap."""
        self._add(self._capping, count, "capping", outcome)

    def pack(self, outcome: str) -> None:
        """Count a fetched pack."""
        self._add(self._packs, 1, "packs", outcome)

    def refresh(self, what: str, outcome: str) -> None:
        """Count a background refresh."""
        self._add(self._refreshes, 1, "refreshes", what, outcome)

    def stage(self, name: str, seconds: float) -> None:
        """Record how long a stage took."""
        record = self._children.get(("stage", name))
        if record is None:
            record = self._children[("stage", name)] = self._stages.labels(name).observe
        record(seconds)

    def render(self) -> bytes:
        """Write the Prometheus text format; with several workers, of all of them together."""
        registry = self.registry
        if self._shared:
            registry = CollectorRegistry()
            _collector(registry)
        text: bytes = generate_latest(registry)
        return text

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"backdrop_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, together: Together, *labels: str) -> Gauge:
        return Gauge(f"backdrop_{name}", text, labels, registry=self.registry, multiprocess_mode=together)

    def _add(self, counter: Counter, count: float, *key: str) -> None:
        add = self._children.get(key)
        if add is None:
            # Looking up a labelled child costs more than counting: each is looked up once.
            add = self._children[key] = counter.labels(*key[1:]).inc
        add(count)
