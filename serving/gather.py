"""Everything a decision needs from outside: one round trip with a deadline, or what is remembered."""

import operator
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import redis.asyncio
import structlog
from numpy.typing import NDArray

from contracts import ContextSchema, ReadPlan, StoreError
from serving.capping import Cap
from serving.deadline import within
from serving.memory import NOTHING, Slot, SlotMemory
from serving.metrics import Metrics
from stores import OnlineRow

_log = structlog.get_logger("serving.gather")


class Reader(Protocol):
    """Reads features and creatives in one round trip."""

    def read(
        self, user: str, items: Sequence[str], placement: str, now_ms: int, also: Sequence[bytes] = ()
    ) -> Coroutine[Any, Any, OnlineRow]:
        """Read all that a decision on these items needs, and send packed commands along."""
        ...


# Makes a server's reader from plan, schema and a client whose replies are bytes.
ReaderFactory = Callable[[ReadPlan, ContextSchema, redis.asyncio.Redis], Reader]


class Encoder(Protocol):
    """The context schema, as far as serving uses it."""

    @property
    def features(self) -> Sequence[str]:
        """Ordered feature references."""
        ...

    @property
    def hash(self) -> str:
        """The schema's hash."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """A label for each of the d entries."""
        ...

    def encode(self, raw: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.int16]:
        """Contexts (n, d)."""
        ...


@dataclass(frozen=True, slots=True)
class Gathered:
    """Contexts (n, d), what is known of each item in the placement, and how good that knowledge is.

    ``capped`` are ids of creatives that the user was shown often enough.
    """

    contexts: NDArray[np.int16]
    slots: tuple[Slot, ...]
    stale: tuple[bool, ...]
    remembered: tuple[bool, ...]
    user_known: bool
    placement_known: bool
    live: bool
    capped: frozenset[str] = frozenset()


class Gatherer:
    """Reads with a deadline; when Redis is slow or away, answers from memory with default features."""

    def __init__(
        self,
        reader: Reader,
        encoder: Encoder,
        memory: SlotMemory,
        metrics: Metrics,
        *,
        deadline_s: float,
        placement_columns: Sequence[int],
        cap: Cap | None = None,
    ) -> None:
        """``placement_columns`` are the features (columns of raw) that describe the placement."""
        self._reader = reader
        self._encoder = encoder
        self._memory = memory
        self._metrics = metrics
        self._deadline_s = deadline_s
        self._placement_columns = np.array(placement_columns, dtype=np.intp)
        self._cap = cap

    async def gather(self, user: str, items: Sequence[str], placement: str, now_ms: int) -> Gathered:
        """Contexts and slots of ``items``; never raises for a store that is slow or away."""
        started = time.perf_counter()
        also = () if self._cap is None else (self._cap.request(user, now_ms),)
        try:
            row = await within(self._deadline_s, self._reader.read(user, items, placement, now_ms, also))
        except TimeoutError:
            return self._without(items, placement, "deadline", started)
        except StoreError:
            return self._without(items, placement, "store", started)
        except Exception:
            # Whatever the stores hold, a page gets its picture; the defect is for the log.
            _log.exception("read_broke", items=len(items), placement=placement)
            return self._without(items, placement, "broken", started)
        self._metrics.stage("read", time.perf_counter() - started)
        return self._keep(row, items, placement)

    def _keep(self, row: OnlineRow, items: Sequence[str], placement: str) -> Gathered:
        slots, remembered = [], []
        for item, texts, creatives in zip(items, row.texts, row.creatives, strict=True):
            slot, recalled = Slot(texts, creatives), None
            if creatives or texts:
                self._memory.remember(item, placement, slot)
            else:
                # An item of which nothing at all is left: as likely as not Redis has lost its dataset.
                recalled = self._memory.recall(item, placement)
            slots.append(recalled or slot)
            remembered.append(recalled is not None and bool(recalled.creatives))
        # A value past its age is not served: the schema's default stands in, and the decision says so.
        started = time.perf_counter()
        old = b"\1" in row.stale.tobytes()
        contexts = self._encoder.encode(row.raw, row.usable if old else row.present)
        self._metrics.stage("encode", time.perf_counter() - started)
        stale = row.stale_texts or (False,) * len(items)
        if old:
            stale = tuple(map(operator.or_, stale, np.any(row.stale, axis=1).tolist()))
        if row.damaged:
            self._metrics.damaged(row.damaged)
        return Gathered(
            contexts,
            tuple(slots),
            stale,
            tuple(remembered),
            row.user_known,
            self._knows_placement(row, placement),
            live=True,
            capped=frozenset() if self._cap is None else self._cap.reached(row.also[0]),
        )

    def _knows_placement(self, row: OnlineRow, placement: str) -> bool:
        # All rows are of the one placement.
        columns = self._placement_columns
        if not columns.size:
            return True
        if bool(row.present[0].take(columns).any()):
            self._memory.remember_placement(placement)
            return True
        # One that was known is not the page's mistake: Redis has lost it, or is being filled again.
        return self._memory.knew_placement(placement)

    def _without(self, items: Sequence[str], placement: str, reason: str, started: float) -> Gathered:
        self._metrics.stage("read_failed", time.perf_counter() - started)
        self._metrics.read_failed(reason)
        return self._recall(items, placement)

    def _recall(self, items: Sequence[str], placement: str) -> Gathered:
        shape = (len(items), len(self._encoder.features))
        contexts = self._encoder.encode(np.zeros(shape), np.zeros(shape, dtype=np.bool_))
        found = [self._memory.recall(item, placement) for item in items]
        return Gathered(
            contexts,
            tuple(slot or NOTHING for slot in found),
            (False,) * len(items),
            tuple(slot is not None and bool(slot.creatives) for slot in found),
            user_known=False,
            placement_known=True,
            live=False,
        )
