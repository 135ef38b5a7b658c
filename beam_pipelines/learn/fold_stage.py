"""FoldFacts: the fold as a stateful stage, keyed by (shard, window) in the global window (design, idea 5)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam import coders
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.shared import Shared
from numpy.typing import NDArray

from beam_pipelines.learn.chunk import FactColumns
from beam_pipelines.learn.config import NEVER_MS
from beam_pipelines.learn.fold import WindowState, decode_state, delta, encode_state, fold
from beam_pipelines.learn.held import Held
from beam_pipelines.learn.identities import IdentitySet
from beam_pipelines.learn.publication import Publication
from beam_pipelines.learn.route import ShardWindow
from beam_pipelines.learn.times import ms_of, next_multiple, timestamp_of
from contracts import LineageSettings, encode_statistics

_PAIR = np.dtype([("high", "<u8"), ("low", "<u8")])

Emitted = Iterator[TimestampedValue[Any]]


@dataclass(frozen=True, slots=True)
class _Cells:
    """The state cells of one key, as Beam hands them to a call."""

    token: Any
    statistics: Any
    identities: Any
    waiting: Any


class FoldFacts(beam.DoFn):
    """Folds chunks into the state of their (shard, window); emits publications at flush times and at the bound.

    A chunk is only put aside; the next flush folds all that wait at once, so that small batches cost little.
    Timers stand on the watermark only, which is the log's time. Each flush time has a timer of its own: one that
    is moved would be pushed ahead for ever by steady traffic. Decoded state stays in memory, once a process, however
    many copies of the stage Beam makes.
    """

    TOKEN = beam.DoFn.StateParam(ReadModifyWriteStateSpec("token", coders.BytesCoder()))
    STATISTICS = beam.DoFn.StateParam(ReadModifyWriteStateSpec("statistics", coders.BytesCoder()))
    IDENTITIES = beam.DoFn.StateParam(BagStateSpec("identities", coders.BytesCoder()))
    WAITING = beam.DoFn.StateParam(BagStateSpec("waiting", coders.BytesCoder()))
    FLUSH_SPEC = TimerSpec("flush", TimeDomain.WATERMARK)
    FLUSH = beam.DoFn.TimerParam(FLUSH_SPEC)
    BOUND_SPEC = TimerSpec("bound", TimeDomain.WATERMARK)
    BOUND = beam.DoFn.TimerParam(BOUND_SPEC)

    def __init__(self, settings: LineageSettings, lineage: str, flush_ms: int, *, until_ms: int = NEVER_MS) -> None:
        self._settings = settings
        self._lineage = lineage
        self._flush_ms = flush_ms
        self._until_ms = until_ms
        shared: Any = Shared
        self._shared = shared()
        self._held: Held[WindowState] | None = None

    def setup(self) -> None:
        """Hold what the process's other copies of the stage hold."""
        self._held = self._shared.acquire(Held)

    def process(
        self,
        element: tuple[bytes, bytes],
        at: Any = beam.DoFn.TimestampParam,
        waiting: Any = WAITING,
        flush: Any = FLUSH,
    ) -> None:
        """Put one chunk aside until the flush time behind its frame's first entry, at the latest the bound."""
        key, chunk = element
        waiting.add(chunk)
        bound_ms = self._settings.bound_ms(ShardWindow.from_bytes(key).window)
        due_ms = min(next_multiple(ms_of(at), self._flush_ms), bound_ms, self._until_ms)
        flush.set(timestamp_of(due_ms), dynamic_timer_tag=str(due_ms))

    @on_timer(FLUSH_SPEC)
    def flush_due(
        self,
        key: Any = beam.DoFn.KeyParam,
        at: Any = beam.DoFn.TimestampParam,
        token: Any = TOKEN,
        statistics: Any = STATISTICS,
        identities: Any = IDENTITIES,
        waiting: Any = WAITING,
        bound: Any = BOUND,
    ) -> Emitted:
        """Fold what waits and emit what that changed."""
        yield from self._settle(key, ms_of(at), _Cells(token, statistics, identities, waiting), bound)

    @on_timer(BOUND_SPEC)
    def bound_passed(
        self,
        key: Any = beam.DoFn.KeyParam,
        at: Any = beam.DoFn.TimestampParam,
        token: Any = TOKEN,
        statistics: Any = STATISTICS,
        identities: Any = IDENTITIES,
        waiting: Any = WAITING,
        bound: Any = BOUND,
    ) -> Emitted:
        """Fold what waits, emit the final statistics and forget the window."""
        yield from self._settle(key, ms_of(at), _Cells(token, statistics, identities, waiting), bound)

    def _settle(self, key: bytes, now_ms: int, cells: _Cells, bound: Any) -> Emitted:
        token = cells.token.read()
        chunks = list(cells.waiting.read())
        if token is None and not chunks:
            return
        before = self._load(key, token, cells)
        facts = FactColumns.concatenate([FactColumns.decode(chunk) for chunk in chunks], self._settings.d)
        done = fold(before, facts) if chunks else None
        state = done.state if done is not None else before
        bound_ms = self._settings.bound_ms(ShardWindow.from_bytes(key).window)
        if now_ms >= bound_ms:
            yield from self._publications(key, state, tuple(sorted(state.facts)), now_ms, final=True)
            for cell in (cells.token, cells.statistics, cells.identities, cells.waiting):
                cell.clear()
            self._forget(now_ms)
            return
        # Where the log ends before the bound, the window stays open, however far the watermark rises then.
        if token is None and bound_ms <= self._until_ms:
            bound.set(timestamp_of(bound_ms))
        if done is not None:
            cells.waiting.clear()
        if done is not None and len(done.high):
            changed = sorted(name for name, count in state.facts.items() if count > before.facts.get(name, 0))
            yield from self._publications(key, state, tuple(changed), now_ms, final=False)
            cells.identities.add(_pairs(done.high, done.low))
            self._store(key, state, cells)

    def _publications(
        self, key: bytes, state: WindowState, categories: tuple[str, ...], due_ms: int, *, final: bool
    ) -> Emitted:
        place = ShardWindow.from_bytes(key)
        for category in categories:
            blob = delta(
                state,
                category,
                settings=self._settings,
                lineage=self._lineage,
                window=place.window,
                shard=place.shard,
            )
            publication = Publication(place.window, place.shard, blob.version, due_ms, final, encode_statistics(blob))
            yield TimestampedValue((category, publication.encode()), timestamp_of(due_ms))

    def _load(self, key: bytes, token: bytes | None, cells: _Cells) -> WindowState:
        if token is None:
            return WindowState.zero(self._settings.d)
        held = self._open().get(key, token)
        if held is not None:
            return held
        pairs = np.frombuffer(b"".join(cells.identities.read()), dtype=_PAIR)
        known = IdentitySet().add(pairs["high"].astype(np.uint64), pairs["low"].astype(np.uint64))
        return decode_state(cells.statistics.read(), known)

    def _store(self, key: bytes, state: WindowState, cells: _Cells) -> None:
        cells.token.write(self._open().put(key, state))
        cells.statistics.write(encode_state(state))

    def _forget(self, passed_ms: int) -> None:
        bound_ms = self._settings.bound_ms
        self._open().drop(lambda key: bound_ms(ShardWindow.from_bytes(key).window) <= passed_ms)

    def _open(self) -> Held[WindowState]:
        if self._held is None:
            message = "FoldFacts was used before setup"
            raise RuntimeError(message)
        return self._held


def _pairs(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> bytes:
    pairs = np.empty(len(high), dtype=_PAIR)
    pairs["high"], pairs["low"] = high, low
    return pairs.tobytes()
