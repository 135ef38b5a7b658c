"""From log entries to decisions: shown and clicked as sets of counting facts say (design, idea 4)."""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beam_pipelines.features.slices import Slice
from beam_pipelines.learn.decode import COUNTING, UNDECODABLE, sound_rows
from beam_pipelines.replay.outcomes import distinct_decisions
from contracts import FormatError, LineageSettings, LogEntry, decode_facts
from learner import COUNTS, REASONS, counting

POISON = "poison"
_NAMES = ("user", "item", "category", "arm", "placement")
_COLUMNS = ("kind", "decision_id", "decision_ms", *_NAMES)

Decided = tuple[pa.Table, NDArray[np.bool_]]


def decisions(
    entries: Iterable[LogEntry], rules: LineageSettings, part: Slice, tally: Counter[str]
) -> Iterator[Decided]:
    """Decisions of the slice's windows and whether (n,) each was clicked, some windows at a time, each decision once.

    ``entries`` ascend by append time; only facts of windows still open are held. Facts of every context schema
    count: of ``rules`` only the times matter. ``tally`` gets the facts by verdict or reason; an entry that cannot
    be read counts in the slice of its append time.
    """
    held: list[pa.Table] = []
    reached = part.first_ms
    for entry in entries:
        first_open = rules.first_open_window(entry.append_ms)
        if held and first_open > reached:
            reached = first_open
            closed, held = _split(held, first_open)
            if len(closed):
                yield distinct_decisions(closed)
        found = _counting(entry, rules, part, tally)
        if found is not None:
            held.append(found)
    if held:
        yield distinct_decisions(pa.concat_tables(held))


def _split(held: list[pa.Table], first_open: int) -> tuple[pa.Table, list[pa.Table]]:
    rows = pa.concat_tables(held).combine_chunks()
    closed = pc.less(rows.column("decision_ms"), first_open)
    still_open = rows.filter(pc.invert(closed))
    return rows.filter(closed), [still_open] if len(still_open) else []


def _counting(entry: LogEntry, rules: LineageSettings, part: Slice, tally: Counter[str]) -> pa.Table | None:
    """The slice's counting facts in an entry."""
    try:
        batch = decode_facts(entry.blob)
    except FormatError:
        tally[UNDECODABLE] += part.first_ms <= entry.append_ms < part.end_ms
        return None
    decided = batch.integers("decision_ms")
    within = (decided >= part.first_ms) & (decided < part.end_ms)
    if not within.any():
        return None
    sound = sound_rows(batch) & within
    verdicts = counting(batch, entry.append_ms, rules)
    counted = sound & (verdicts == COUNTS)
    tally[COUNTING] += int(counted.sum())
    tally[POISON] += int((within & ~sound).sum())
    for verdict, reason in REASONS.items():
        tally[reason] += int((sound & (verdicts == verdict)).sum())
    if not counted.any():
        return None
    columns = {name: batch.rows.column(name) for name in _COLUMNS}
    plain = pa.table(columns | {name: columns[name].cast(pa.utf8()) for name in _NAMES})
    return plain.filter(pa.array(counted))
