"""Everything a decision needs from outside: one round trip with a deadline, or what is remembered."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contracts import CreativeRef, UnavailableError
from serving.memory import NOTHING, Slot, SlotMemory
from serving.metrics import Metrics


class OnlineRow(Protocol):
    """What one read brings back: n items, f features."""

    @property
    def raw(self) -> NDArray[np.float64]:
        """Values (n, f)."""
        ...

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether there is a value (n, f)."""
        ...

    @property
    def stale(self) -> NDArray[np.bool_]:
        """Whether a value is older than its view allows (n, f)."""
        ...

    @property
    def texts(self) -> Sequence[Mapping[str, str]]:
        """Texts of each item by feature reference."""
        ...

    @property
    def creatives(self) -> Sequence[Mapping[str, CreativeRef]]:
        """Creatives of each item by arm."""
        ...

    @property
    def user_known(self) -> bool:
        """Whether the user has any feature."""
        ...


class Reader(Protocol):
    """Reads features and creatives in one round trip."""

    async def read(self, user: str, items: Sequence[str], placement: str, now_ms: int) -> OnlineRow:
        """Read all that a decision on these items needs."""
        ...


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
    """Contexts (n, d), what is known of each item in the placement, and how good that knowledge is."""

    contexts: NDArray[np.int16]
    slots: tuple[Slot, ...]
    stale: tuple[bool, ...]
    remembered: tuple[bool, ...]
    user_known: bool
    placement_known: bool
    live: bool


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
    ) -> None:
        """``placement_columns`` are the features (columns of raw) that describe the placement."""
        self._reader = reader
        self._encoder = encoder
        self._memory = memory
        self._metrics = metrics
        self._deadline_s = deadline_s
        self._placement_columns = list(placement_columns)

    async def gather(self, user: str, items: Sequence[str], placement: str, now_ms: int) -> Gathered:
        """Contexts and slots of ``items``; never raises for a store that is slow or away."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._deadline_s):
                row = await self._reader.read(user, items, placement, now_ms)
        except (TimeoutError, UnavailableError):
            self._metrics.stage("read_failed", time.perf_counter() - started)
            return self._recall(items, placement)
        self._metrics.stage("read", time.perf_counter() - started)
        return self._keep(row, items, placement)

    def _keep(self, row: OnlineRow, items: Sequence[str], placement: str) -> Gathered:
        slots = []
        for item, texts, creatives in zip(items, row.texts, row.creatives, strict=True):
            slot = Slot(texts, creatives)
            if creatives:
                self._memory.remember(item, placement, slot)
            else:
                self._memory.forget(item, placement)
            slots.append(slot)
        # A value past its age is not served: the schema's default stands in, and the decision says so.
        contexts = self._encoder.encode(row.raw, row.present & ~row.stale)
        columns = self._placement_columns
        return Gathered(
            contexts,
            tuple(slots),
            tuple(np.any(row.stale, axis=1).tolist()),
            (False,) * len(items),
            row.user_known,
            not columns or bool(row.present[:, columns].any()),
            live=True,
        )

    def _recall(self, items: Sequence[str], placement: str) -> Gathered:
        shape = (len(items), len(self._encoder.features))
        contexts = self._encoder.encode(np.zeros(shape), np.zeros(shape, dtype=np.bool_))
        found = [self._memory.recall(item, placement) for item in items]
        return Gathered(
            contexts,
            tuple(slot or NOTHING for slot in found),
            (False,) * len(items),
            tuple(slot is not None for slot in found),
            user_known=False,
            placement_known=True,
            live=False,
        )
