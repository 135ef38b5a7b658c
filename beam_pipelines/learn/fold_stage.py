"""FoldFacts: the fold as a stateful stage, keyed by (shard, window) in the global window (design, idea 5)."""

import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam import coders
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import TimestampedValue

from beam_pipelines.learn.chunk import FactColumns
from beam_pipelines.learn.fold import WindowState, decode_state, delta, encode_state, fold
from beam_pipelines.learn.identities import IdentitySet
from beam_pipelines.learn.publication import Publication
from beam_pipelines.learn.route import ShardWindow
from beam_pipelines.learn.times import ms_of, next_multiple, timestamp_of
from contracts import LineageSettings, encode_statistics

_HEAD = struct.Struct("<16sqq")
_NOT_ARMED = -1
_PAIR = np.dtype([("high", "<u8"), ("low", "<u8")])

Emitted = Iterator[TimestampedValue[Any]]


@dataclass(frozen=True, slots=True)
class Head:
    """The small state of a key: what its other state is now (``token``), when it flushes next, its newest entry."""

    token: bytes = bytes(16)
    armed_ms: int = _NOT_ARMED
    newest_ms: int = 0

    def encode(self) -> bytes:
        """Write as bytes."""
        return _HEAD.pack(self.token, self.armed_ms, self.newest_ms)

    @classmethod
    def decode(cls, data: bytes | None) -> "Head":
        """Read what ``encode`` wrote; the initial one if there is none."""
        return cls(*_HEAD.unpack(data)) if data else cls()


class FoldFacts(beam.DoFn):
    """Folds chunks into the state of their (shard, window); emits publications at flush times and at the bound.

    Timers stand on the watermark only, which is the log's time. A flush is armed by the first fact behind the
    last one and never moved, or steady traffic would push it ahead for ever.
    """

    HEAD = beam.DoFn.StateParam(ReadModifyWriteStateSpec("head", coders.BytesCoder()))
    STATISTICS = beam.DoFn.StateParam(ReadModifyWriteStateSpec("statistics", coders.BytesCoder()))
    IDENTITIES = beam.DoFn.StateParam(BagStateSpec("identities", coders.BytesCoder()))
    FLUSH_SPEC = TimerSpec("flush", TimeDomain.WATERMARK)
    FLUSH = beam.DoFn.TimerParam(FLUSH_SPEC)
    BOUND_SPEC = TimerSpec("bound", TimeDomain.WATERMARK)
    BOUND = beam.DoFn.TimerParam(BOUND_SPEC)

    def __init__(self, settings: LineageSettings, lineage: str, flush_ms: int) -> None:
        self._settings = settings
        self._lineage = lineage
        self._flush_ms = flush_ms
        self._held: dict[bytes, tuple[bytes, WindowState]] = {}

    def setup(self) -> None:
        """Begin with nothing held in memory."""
        self._held = {}

    def process(
        self,
        element: tuple[bytes, bytes],
        head: Any = HEAD,
        statistics: Any = STATISTICS,
        identities: Any = IDENTITIES,
        flush: Any = FLUSH,
        bound: Any = BOUND,
    ) -> None:
        """Fold one chunk."""
        key, chunk = element
        facts = FactColumns.decode(chunk)
        newest = int(facts.append_ms.max())
        before = Head.decode(head.read())
        done = fold(self._load(key, before, statistics, identities), facts)
        armed = before.armed_ms
        if armed == _NOT_ARMED:
            armed = next_multiple(newest, self._flush_ms)
            flush.set(timestamp_of(armed))
            bound.set(timestamp_of(self._settings.bound_ms(ShardWindow.from_bytes(key).window)))
        if len(done.high):
            identities.add(_pairs(done.high, done.low))
        self._store(key, done.state, Head(b"", armed, max(newest, before.newest_ms)), head, statistics)

    @on_timer(FLUSH_SPEC)
    def flush_due(
        self,
        key: Any = beam.DoFn.KeyParam,
        at: Any = beam.DoFn.TimestampParam,
        head: Any = HEAD,
        statistics: Any = STATISTICS,
        identities: Any = IDENTITIES,
        flush: Any = FLUSH,
    ) -> Emitted:
        """Emit what was counted since the last flush."""
        before = Head.decode(head.read())
        if before.armed_ms == _NOT_ARMED:
            return
        state = self._load(key, before, statistics, identities)
        due_ms = ms_of(at)
        yield from self._publications(key, state, state.dirty, due_ms, final=False)
        armed = _NOT_ARMED
        if before.newest_ms >= due_ms:
            armed = next_multiple(before.newest_ms, self._flush_ms)
            flush.set(timestamp_of(armed))
        self._store(key, state.mark_published(), Head(b"", armed, before.newest_ms), head, statistics)

    @on_timer(BOUND_SPEC)
    def bound_passed(
        self,
        key: Any = beam.DoFn.KeyParam,
        at: Any = beam.DoFn.TimestampParam,
        head: Any = HEAD,
        statistics: Any = STATISTICS,
        identities: Any = IDENTITIES,
        flush: Any = FLUSH,
    ) -> Emitted:
        """Emit the final statistics and forget the window."""
        before = Head.decode(head.read())
        state = self._load(key, before, statistics, identities)
        yield from self._publications(key, state, tuple(sorted(state.facts)), ms_of(at), final=True)
        flush.clear()
        head.clear()
        statistics.clear()
        identities.clear()
        self._forget(key, ms_of(at))

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

    def _load(self, key: bytes, head: Head, statistics: Any, identities: Any) -> WindowState:
        held = self._held.get(key)
        if held is not None and held[0] == head.token:
            return held[1]
        data = statistics.read()
        if not data:
            return WindowState.zero(self._settings.d)
        pairs = np.frombuffer(b"".join(identities.read()), dtype=_PAIR)
        known = IdentitySet().add(pairs["high"].astype(np.uint64), pairs["low"].astype(np.uint64))
        return decode_state(data, known)

    def _store(self, key: bytes, state: WindowState, head: Head, cell: Any, statistics: Any) -> None:
        # A token never used before tells whether memory and state are still the same after a bundle was retried
        # or another worker has had the key.
        token = secrets.token_bytes(16)
        cell.write(Head(token, head.armed_ms, head.newest_ms).encode())
        statistics.write(encode_state(state))
        self._held[key] = (token, state)

    def _forget(self, key: bytes, passed_ms: int) -> None:
        expired = [
            held for held in self._held if self._settings.bound_ms(ShardWindow.from_bytes(held).window) < passed_ms
        ]
        for held in (key, *expired):
            self._held.pop(held, None)


def _pairs(high: np.ndarray[Any, Any], low: np.ndarray[Any, Any]) -> bytes:
    pairs = np.empty(len(high), dtype=_PAIR)
    pairs["high"], pairs["low"] = high, low
    return pairs.tobytes()
