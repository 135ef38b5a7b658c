"""From log entries to fact columns; what cannot be learned is named, never guessed (design, idea 4).

Poison is judged from the bytes and the lineage's settings alone, so every run judges alike.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beam_pipelines.learn.activity_facts import ActivityFacts
from beam_pipelines.learn.chunk import NAMES, FactColumns
from contracts import (
    CLICK,
    FactBatch,
    FormatError,
    FormatVersionError,
    InvalidInputError,
    LineageSettings,
    LogEntry,
    check_name,
    decode_facts,
)
from learner import COUNTS, REASONS, verdicts

COUNTING = "counting"
OTHER_SCHEMA = "other_schema"
OTHER_FORMAT = "other_format"
UNDECODABLE = "undecodable"
WRONG_D = "wrong_d"
BAD_KIND = "bad_kind"
BAD_DECISION_ID = "bad_decision_id"
BAD_DECISION_MS = "bad_decision_ms"
BAD_EVENT_MS = "bad_event_ms"
BAD_NAME = "bad_name"
BAD_PROPENSITY = "bad_propensity"

POISON_REASONS = (
    OTHER_FORMAT,
    UNDECODABLE,
    WRONG_D,
    BAD_KIND,
    BAD_DECISION_ID,
    BAD_DECISION_MS,
    BAD_EVENT_MS,
    BAD_NAME,
    BAD_PROPENSITY,
)
DROP_REASONS = (*REASONS.values(), OTHER_SCHEMA, *POISON_REASONS)

_VERDICTS = {COUNTS: COUNTING, **REASONS}
_MAX_MS = 1 << 48
# Of a UUIDv7: version in bits 12 to 15 of its upper half, the RFC's variant in bits 62 and 63 of its lower one.
_VERSION_SHIFT, _VERSION_MASK, _VERSION = np.uint64(12), np.uint64(0xF), np.uint64(7)
_VARIANT_SHIFT, _VARIANT = np.uint64(62), np.uint64(0b10)
_ALL = slice(None)
_NO_TIMES = np.zeros(0, dtype=np.int64)
_BLAMED = {
    BAD_KIND: ("kind",),
    BAD_DECISION_ID: ("decision_id",),
    BAD_DECISION_MS: ("decision_ms", "decision_id"),
    BAD_EVENT_MS: ("event_ms",),
    BAD_NAME: NAMES,
    BAD_PROPENSITY: ("propensity",),
}


@dataclass(frozen=True, slots=True)
class Poison:
    """An entry (or rows of it) that cannot be learned: why, how many rows, and what was wrong."""

    entry: LogEntry
    reason: str
    rows: int
    detail: str


@dataclass(frozen=True, slots=True)
class _Fault:
    reason: str
    rows: int
    detail: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What entries held: their counting facts, poison, and for each entry how many facts by verdict or drop reason.

    ``activity`` are the counting facts by user, where they were asked for.
    """

    counting: FactColumns
    poison: tuple[Poison, ...]
    tallies: tuple[Mapping[str, int], ...]
    activity: ActivityFacts | None = None


def decode_entries(entries: Sequence[LogEntry], settings: LineageSettings, *, with_users: bool = False) -> Decoded:
    """Decode entries in order and judge their facts."""
    users: list[pa.Array] = [pa.array([], pa.utf8())]
    parts: list[FactColumns] = []
    poison: list[Poison] = []
    tallies: list[Counter[str]] = [Counter() for _ in entries]
    event_ms: list[NDArray[np.int64]] = []
    sources: list[int] = []
    for number, entry in enumerate(entries):
        try:
            batch = decode_facts(entry.blob)
        except FormatError as error:
            reason = OTHER_FORMAT if isinstance(error, FormatVersionError) else UNDECODABLE
            poison.append(Poison(entry, reason, 1, str(error)))
            tallies[number][reason] += 1
            continue
        if batch.schema_hash != settings.schema_hash:
            tallies[number][OTHER_SCHEMA] += len(batch)
            continue
        if batch.d != settings.d:
            poison.append(Poison(entry, WRONG_D, len(batch), f"d = {batch.d}, the lineage has {settings.d}"))
            tallies[number][WRONG_D] += len(batch)
            continue
        columns, times = _columns(batch), batch.integers("event_ms")
        good, faults = _good(batch, columns, times)
        poison += [Poison(entry, fault.reason, fault.rows, fault.detail) for fault in faults]
        tallies[number].update({fault.reason: fault.rows for fault in faults})
        parts.append(columns.take(good))
        event_ms.append(times[good])
        if with_users:
            found = batch.rows.column("user")
            users.append(found if good is _ALL else found.filter(pa.array(good)))
        sources.append(number)
    facts = FactColumns.concatenate(parts, settings.d)
    source = np.repeat(np.array(sources, dtype=np.int64), [len(part) for part in parts])
    append_ms = np.array([entry.append_ms for entry in entries], dtype=np.int64)[source]
    kinds = facts.kind.astype(np.int64)
    judged = verdicts(kinds, facts.decision_ms, np.concatenate([_NO_TIMES, *event_ms]), append_ms, settings)
    for verdict, name in _VERDICTS.items():
        for number, count in enumerate(np.bincount(source[judged == verdict], minlength=len(entries)).tolist()):
            if count:
                tallies[number][name] = count
    counts = judged == COUNTS
    counting = facts if bool(counts.all()) else facts.take(counts)
    activity = (
        ActivityFacts(facts.kind, facts.high, facts.low, append_ms, pa.concat_arrays(users)).take(counts)
        if with_users
        else None
    )
    return Decoded(counting, tuple(poison), tuple(tallies), activity)


def sound_rows(batch: FactBatch) -> NDArray[np.bool_]:
    """Which rows (n,) are no poison, whatever their context schema."""
    good, _ = _good(batch, _columns(batch), batch.integers("event_ms"))
    sound = np.zeros(len(batch), dtype=np.bool_)
    sound[good] = True
    return sound


def _good(batch: FactBatch, facts: FactColumns, event_ms: NDArray[np.int64]) -> tuple[Any, list[_Fault]]:
    """Rows (mask or slice) that can be learned; of the others how many have which fault, the first found."""
    decision_ms, propensity = batch.integers("decision_ms"), batch.propensities()
    checks: dict[str, Callable[[], NDArray[np.bool_]]] = {
        BAD_KIND: lambda: facts.kind <= CLICK,
        BAD_DECISION_ID: lambda: (
            (facts.high >> _VERSION_SHIFT & _VERSION_MASK == _VERSION) & (facts.low >> _VARIANT_SHIFT == _VARIANT)
        ),
        BAD_DECISION_MS: lambda: decision_ms == facts.decision_ms,
        BAD_EVENT_MS: lambda: (event_ms >= 0) & (event_ms < _MAX_MS),
        BAD_NAME: lambda: np.logical_and.reduce(
            [
                np.array([_is_name(name) for name in names], dtype=np.bool_)[facts.codes[:, column]]
                for column, names in enumerate(facts.names)
            ]
        ),
        # Not a number is in no range, so it fails, too.
        BAD_PROPENSITY: lambda: (propensity > 0) & (propensity <= 1),
    }
    good = np.ones(len(batch), dtype=np.bool_)
    faults: list[_Fault] = []
    for reason, check in checks.items():
        passed = check()
        failed = np.flatnonzero(good & ~passed)
        if len(failed):
            faults.append(_Fault(reason, len(failed), _shown(batch, reason, int(failed[0]))))
            good &= passed
    return (good if faults else _ALL), faults


def _shown(batch: FactBatch, reason: str, row: int) -> str:
    """What is wrong in a row, in its own values."""
    values = [(name, batch.rows.column(name)[row].as_py()) for name in _BLAMED[reason]]
    return f"first in row {row}: " + ", ".join(f"{name} {value!r}" for name, value in values)


def _columns(batch: FactBatch) -> FactColumns:
    halves = batch.ids().view(">u8").astype(np.uint64)
    coded = [_coded(batch, column) for column in NAMES]
    return FactColumns(
        kind=batch.integers("kind").astype(np.uint8),
        high=halves[:, 0],
        low=halves[:, 1],
        codes=np.stack([codes for codes, _ in coded], axis=1, dtype=np.int32, casting="same_kind"),
        contexts=batch.contexts(),
        names=tuple(names for _, names in coded),
    )


def _coded(batch: FactBatch, column: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    codes, names = batch.coded(column)
    if len(names) <= len(batch):
        return codes.astype(np.int64), tuple(name or "" for name in names)
    # A dictionary longer than its batch holds names that nobody uses.
    used, found = np.unique(codes, return_inverse=True)
    return found, tuple(names[code] or "" for code in used.tolist())


@lru_cache(maxsize=65_536)
def _is_name(value: str) -> bool:
    try:
        check_name("name", value)
    except InvalidInputError:
        return False
    return True
