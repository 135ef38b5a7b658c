"""Decisions with what became of them, read from the event log: what off-policy evaluation works on."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts import CLICK, FactBatch, FormatError, LineageSettings, LogEntry, decode_facts, facts_schema
from learner import COUNTS, counting

_COLUMNS = ("kind", "decision_id", "user", "category", "arm", "eligible", "propensity", "context")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Decisions shown, each once, as columns (n,).

    ``user`` numbers the users, ``category`` and ``arm`` index ``categories`` and ``arms``; ``eligible`` (n, K) bool
    tells which of the arms the logging policy could choose; ``contexts`` (n, d) int16.
    """

    clicked: NDArray[np.bool_]
    propensity: NDArray[np.float64]
    user: NDArray[np.int64]
    category: NDArray[np.int64]
    arm: NDArray[np.int64]
    eligible: NDArray[np.bool_]
    contexts: NDArray[np.int16]
    categories: tuple[str, ...]
    arms: tuple[str, ...]

    def __len__(self) -> int:
        """Count the decisions."""
        return len(self.clicked)

    def of(self, rows: NDArray[np.bool_]) -> "Outcomes":
        """Those decisions alone."""
        return Outcomes(
            self.clicked[rows],
            self.propensity[rows],
            self.user[rows],
            self.category[rows],
            self.arm[rows],
            self.eligible[rows],
            self.contexts[rows],
            self.categories,
            self.arms,
        )


def outcomes(
    entries: Iterable[LogEntry], settings: LineageSettings, *, policy: str, from_ms: int, until_ms: int
) -> Outcomes:
    """Decisions of ``policy`` made from ``from_ms`` on whose clicks are complete at log time ``until_ms``.

    Only counting facts of the lineage's schema are looked at; a decision is in if any of it says that it was shown.
    """
    found = [_plain(facts_schema(settings.d).empty_table())]
    for entry in entries:
        try:
            batch = decode_facts(entry.blob)
        except FormatError:
            # The learner has made a dead letter of it.
            continue
        if batch.schema_hash == settings.schema_hash and batch.d == settings.d:
            found.append(_kept(batch, entry.append_ms, settings, policy, from_ms, until_ms))
    return _columns(pa.concat_tables(found), settings.d)


def _kept(
    batch: FactBatch, append_ms: int, settings: LineageSettings, policy: str, from_ms: int, until_ms: int
) -> pa.Table:
    decided = batch.integers("decision_ms")
    complete = decided < settings.first_open_window(until_ms)
    wanted = (counting(batch, append_ms, settings) == COUNTS) & (decided >= from_ms) & complete
    wanted &= pc.equal(batch.rows.column("policy"), policy).to_numpy(zero_copy_only=False)
    return _plain(pa.Table.from_batches([batch.rows]).filter(pa.array(wanted)))


def _plain(rows: pa.Table) -> pa.Table:
    """The columns used, dictionaries written out: batches number their names each for itself."""
    columns = {name: rows.column(name) for name in _COLUMNS}
    return pa.table(columns | {name: columns[name].cast(pa.utf8()) for name in ("category", "arm")})


def distinct_decisions(rows: pa.Table) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Decisions that counting facts tell of, each once and ascending by id, and whether (n,) each was clicked."""
    ids = np.array(rows.column("decision_id").to_pylist(), dtype="S16")
    _, first, decision = np.unique(ids, return_index=True, return_inverse=True)
    clicks = rows.column("kind").to_numpy() == CLICK
    clicked = np.bincount(decision, weights=clicks, minlength=len(first)) > 0
    return rows.take(pa.array(first)), clicked


def _columns(rows: pa.Table, d: int) -> Outcomes:
    shown, clicked = distinct_decisions(rows)
    arms = sorted({arm for name in ("arm", "eligible") for arm in _distinct(shown.column(name))})
    categories = _distinct(shown.column("category"))
    _, user = np.unique(np.array(shown.column("user").to_pylist(), dtype=object), return_inverse=True)
    flat = shown.column("context").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Outcomes(
        clicked=clicked,
        propensity=shown.column("propensity").to_numpy().astype(np.float64),
        user=user.astype(np.int64),
        category=_codes(shown.column("category"), categories),
        arm=_codes(shown.column("arm"), arms),
        eligible=_membership(shown.column("eligible"), arms),
        contexts=flat.astype(np.int16).reshape(len(shown), d),
        categories=tuple(categories),
        arms=tuple(arms),
    )


def _distinct(column: pa.ChunkedArray) -> list[str]:
    values = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    return sorted(pc.unique(values).to_pylist())


def _codes(column: pa.ChunkedArray, names: list[str]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = pc.index_in(column, pa.array(names, pa.utf8())).to_numpy().astype(np.int64)
    return found


def _membership(column: pa.ChunkedArray, arms: list[str]) -> NDArray[np.bool_]:
    member = np.zeros((len(column), len(arms)), dtype=np.bool_)
    rows = np.repeat(np.arange(len(column)), pc.list_value_length(column).to_numpy())
    member[rows, _codes(pc.list_flatten(column), arms)] = True
    return member
