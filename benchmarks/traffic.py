"""Facts for benchmarks: whole batches at once, as servers write them, at a cost far below that of learning them."""

import itertools
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts import CLICK, IMPRESSION, EventLog
from contracts.facts import FACTS_FORMAT, facts_schema
from contracts.ipc import write_stream

SCHEMA = "feedfacefeedface"
LINEAGE = "benchmark"

_EVERY_S = 0.025
_CLICK_SHARE = 0.05
_AGAIN_SHARE = 0.02
_PLACEMENTS = ("feed", "top", "side")
_POLICIES = ("original", "random", "linucb")
_ITEMS, _USERS = 200, 50_000


@dataclass(frozen=True, slots=True)
class Shown:
    """Decisions as columns (n,): ``ids`` (n, 16) uint8, ``contexts`` (n, d), ``arm`` a number among all arms."""

    ids: NDArray[np.uint8]
    at_ms: NDArray[np.int64]
    arm: NDArray[np.int32]
    contexts: NDArray[np.int16]
    words: NDArray[np.int64]

    def take(self, rows: NDArray[np.intp]) -> "Shown":
        """The decisions at ``rows``."""
        return Shown(self.ids[rows], self.at_ms[rows], self.arm[rows], self.contexts[rows], self.words[rows])


@dataclass
class Traffic:
    """Batches of facts: 5 % of decisions are clicked in the batch behind theirs, 2 % of facts come twice.

    Contexts have ``d`` entries within ±2; each of ``categories`` has ``arms`` arms, all of them eligible.
    """

    d: int = 32
    categories: int = 5
    arms: int = 10
    seed: int = 1
    _rng: np.random.Generator = field(init=False)
    _last: Shown | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Prepare what every batch shares."""
        self._rng = np.random.default_rng(self.seed)
        self._category_names = pa.array([f"category-{i}" for i in range(self.categories)])
        self._arm_names = pa.array([f"prompt-{i}" for i in range(self.arms)])

    def batch(self, now_ms: int, rows: int, probe: str = "") -> bytes:
        """A log entry's blob of exactly ``rows`` facts, decided in the 100 ms up to ``now_ms``.

        With ``probe``, one more comes: an impression of a new arm of that name, in any category.
        """
        clicks = int(rows * _CLICK_SHARE) if self._last is not None else 0
        again = int(rows * _AGAIN_SHARE)
        shown = self._decisions(now_ms, rows - clicks - again)
        parts = [(IMPRESSION, shown, now_ms)]
        if self._last is not None:
            parts.append((CLICK, self._some(self._last, clicks), now_ms))
        parts.append((IMPRESSION, self._some(shown, again), now_ms))
        if probe:
            parts.append((IMPRESSION, self._decisions(now_ms, 1), now_ms))
        self._last = shown
        return self._blob(parts, probe)

    def _decisions(self, now_ms: int, count: int) -> Shown:
        rng = self._rng
        at_ms = now_ms - rng.integers(0, 100, count)
        ids = rng.integers(0, 256, (count, 16), dtype=np.uint8)
        ids[:, :6] = at_ms.astype(">i8").view(np.uint8).reshape(count, 8)[:, 2:]
        ids[:, 6] = ids[:, 6] & 0x0F | 0x70
        ids[:, 8] = ids[:, 8] & 0x3F | 0x80
        arm = rng.integers(0, self.categories * self.arms, count, dtype=np.int32)
        contexts = rng.integers(-2048, 2049, (count, self.d), dtype=np.int16)
        return Shown(ids, at_ms, arm, contexts, rng.integers(0, 1 << 40, count))

    def _some(self, shown: Shown, count: int) -> Shown:
        return shown.take(self._rng.integers(0, len(shown.arm), count))

    def _blob(self, parts: list[tuple[int, Shown, int]], probe: str) -> bytes:
        kind = np.repeat([kind for kind, *_ in parts], [len(shown.arm) for _, shown, _ in parts])
        event_ms = np.concatenate([np.full(len(shown.arm), at, dtype=np.int64) for _, shown, at in parts])
        ids, at_ms, arm, contexts, words = (
            np.concatenate([getattr(shown, name) for _, shown, _ in parts])
            for name in ("ids", "at_ms", "arm", "contexts", "words")
        )
        count = len(arm)
        category, arm_codes, arm_names = arm // self.arms, arm % self.arms, self._arm_names
        if probe:
            arm_codes[-1] = self.arms
            arm_names = pa.concat_arrays([arm_names, pa.array([probe])])
        # Only columns that the learner reads differ by decision in every way; the others are of the right size.
        values = {
            "kind": pa.array(kind, pa.uint8()),
            "decision_id": pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(16), count, [None, pa.py_buffer(ids.tobytes())]
            ),
            "decision_ms": pa.array(at_ms),
            "event_ms": pa.array(event_ms),
            "user": pc.binary_join_element_wise("user", pc.cast(pa.array(words % _USERS), pa.utf8()), "-"),
            "item": _names([f"item-{i}" for i in range(_ITEMS)], words % _ITEMS),
            "category": pa.DictionaryArray.from_arrays(pa.array(category, pa.int32()), self._category_names),
            "arm": pa.DictionaryArray.from_arrays(pa.array(arm_codes, pa.int32()), arm_names),
            "creative": _names([f"{i:064x}" for i in range(_ITEMS)], words % _ITEMS),
            "placement": _names(_PLACEMENTS, words % len(_PLACEMENTS)),
            "policy": _names(_POLICIES, words // 16 % len(_POLICIES)),
            "eligible": pa.ListArray.from_arrays(
                pa.array(np.arange(count + 1) * self.arms, pa.int32()),
                self._arm_names.take(pa.array(np.tile(np.arange(self.arms), count))),
                type=facts_schema(self.d).field("eligible").type,
            ),
            "propensity": pa.array(np.full(count, 1.0 / self.arms), pa.float32()),
            "generation": pa.array(np.ones(count, dtype=np.int64)),
            "context": pa.FixedSizeListArray.from_arrays(
                pa.array(contexts.reshape(-1)), type=facts_schema(self.d).field("context").type
            ),
        }
        schema = facts_schema(self.d)
        rows = pa.RecordBatch.from_arrays([values[name] for name in schema.names], schema=schema)
        metadata = {"format": f"facts/{FACTS_FORMAT}", "schema_hash": SCHEMA, "lineage": LINEAGE, "d": str(self.d)}
        return write_stream(rows, metadata)


class Steady:
    """Appends ``rate`` facts a second in a thread of its own, as one server does: a batch each 25 ms.

    With ``probes_a_second``, some batches hold a probe; ``probes`` says when each was appended (monotonic seconds).
    """

    def __init__(self, log: EventLog, rate: int, *, probes_a_second: float = 0.0) -> None:
        self._log = log
        self._rows = max(1, round(rate * _EVERY_S))
        self._probe_every = round(1 / (probes_a_second * _EVERY_S)) if probes_a_second else 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="steady-traffic")
        self.probes: dict[str, float] = {}
        self.facts = 0

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        traffic, began = Traffic(), time.monotonic()
        for number in itertools.count():
            # Where this machine is late the batches come closer, so that the rate holds.
            if self._stop.wait(max(0.0, began + number * _EVERY_S - time.monotonic())):
                return
            probe = f"probe-{number}" if self._probe_every and number % self._probe_every == 0 else ""
            blob = traffic.batch(time.time_ns() // 1_000_000, self._rows, probe)
            if probe:
                self.probes[probe] = time.monotonic()
            self._log.append(number % self._log.partitions, [blob])
            self.facts += self._rows


def _names(names: list[str] | tuple[str, ...], codes: NDArray[np.int64]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names))
