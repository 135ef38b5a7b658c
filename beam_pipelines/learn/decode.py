"""From log entries to fact columns; what cannot be learned is named, never guessed (design, idea 4).

Poison is judged from the bytes and the lineage's settings alone, so every run judges alike.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.learn.chunk import FactColumns, Group
from beam_pipelines.learn.route import judge
from contracts import (
    CLICK,
    FactBatch,
    FormatError,
    FormatVersionError,
    InvalidInputError,
    LineageSettings,
    LogEntry,
    check_name,
    decision_ms_of,
    decode_facts,
)
from learner import COUNTS, REASONS

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
_INT64_MAX = (1 << 63) - 1
_UUID_VERSION = 7
_VARIANT = 0b10
_NAMES = ("category", "policy", "arm", "placement")
_BLAMED = {
    BAD_KIND: ("kind",),
    BAD_DECISION_ID: ("decision_id",),
    BAD_DECISION_MS: ("decision_ms", "decision_id"),
    BAD_EVENT_MS: ("event_ms",),
    BAD_NAME: _NAMES,
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
    """What entries held: their counting facts, poison, and for each entry how many facts by verdict or drop reason."""

    counting: FactColumns
    poison: tuple[Poison, ...]
    tallies: tuple[Mapping[str, int], ...]


def decode_entries(entries: Sequence[LogEntry], settings: LineageSettings) -> Decoded:
    """Decode entries in order and judge their facts."""
    parts: list[FactColumns] = []
    poison: list[Poison] = []
    tallies: list[Counter[str]] = [Counter() for _ in entries]
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
        columns, faults = _columns(batch, entry.append_ms)
        poison += [Poison(entry, fault.reason, fault.rows, fault.detail) for fault in faults]
        tallies[number].update({fault.reason: fault.rows for fault in faults})
        parts.append(columns)
        sources.append(number)
    facts = FactColumns.concatenate(parts, settings.d)
    judged = judge(facts, settings)
    source = np.repeat(np.array(sources, dtype=np.int64), [len(part) for part in parts])
    for verdict, name in _VERDICTS.items():
        for number, count in enumerate(np.bincount(source[judged == verdict], minlength=len(entries)).tolist()):
            if count:
                tallies[number][name] = count
    counting = facts if bool((judged == COUNTS).all()) else facts.take(judged == COUNTS)
    return Decoded(counting, tuple(poison), tuple(tallies))


def _columns(batch: FactBatch, append_ms: int) -> tuple[FactColumns, list[_Fault]]:
    ids = batch.ids()
    halves = ids.view(">u8").astype(np.uint64)
    group, groups, named = _groups(batch)
    kinds = batch.integers("kind")
    decision_ms = batch.integers("decision_ms")
    event_ms = batch.integers("event_ms")
    propensity = batch.propensities()
    checks: dict[str, Callable[[], NDArray[np.bool_]]] = {
        BAD_KIND: lambda: kinds <= CLICK,
        BAD_DECISION_ID: lambda: (ids[:, 6] >> 4 == _UUID_VERSION) & (ids[:, 8] >> 6 == _VARIANT),
        BAD_DECISION_MS: lambda: decision_ms == decision_ms_of(ids),
        BAD_EVENT_MS: lambda: (event_ms >= 0) & (event_ms < _MAX_MS),
        BAD_NAME: lambda: named,
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
    columns = FactColumns(
        kind=kinds.astype(np.uint8),
        high=halves[:, 0],
        low=halves[:, 1],
        decision_ms=decision_ms,
        event_ms=event_ms,
        append_ms=np.full(len(batch), append_ms, dtype=np.int64),
        group=group,
        contexts=batch.contexts(),
        groups=groups,
    )
    return (columns if good.all() else columns.take(good)), faults


def _shown(batch: FactBatch, reason: str, row: int) -> str:
    """What is wrong in a row, in its own values."""
    values = [(name, batch.rows.column(name)[row].as_py()) for name in _BLAMED[reason]]
    return f"first in row {row}: " + ", ".join(f"{name} {value!r}" for name, value in values)


def _groups(batch: FactBatch) -> tuple[NDArray[np.int32], tuple[Group, ...], NDArray[np.bool_]]:
    """Group of each fact, the distinct groups, and whether all names of a fact's group may be used."""
    columns = [batch.coded(name) for name in _NAMES]
    combined, bound = np.zeros(len(batch), dtype=np.int64), 1
    for codes, names in columns:
        bound *= max(len(names), 1)
        if bound > _INT64_MAX:
            # Dictionaries may be longer than the batch: numbered afresh, what is there so far is below its length.
            combined = np.unique(combined, return_inverse=True)[1].astype(np.int64)
            bound = max(len(batch), 1) * max(len(names), 1)
        combined = combined * max(len(names), 1) + codes
    _, first, group = np.unique(combined, return_index=True, return_inverse=True)
    groups: list[Group] = []
    valid: list[bool] = []
    for row in first.tolist():
        category, policy, arm, placement = (names[codes[row]] or "" for codes, names in columns)
        groups.append((category, policy, arm, placement))
        valid.append(all(_is_name(name) for name in (category, policy, arm, placement)))
    named = np.array(valid, dtype=np.bool_)[group] if valid else np.zeros(0, dtype=np.bool_)
    return group.astype(np.int32), tuple(groups), named


def _is_name(value: str) -> bool:
    try:
        check_name("name", value)
    except InvalidInputError:
        return False
    return True
