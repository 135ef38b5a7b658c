"""Recent user activity as rows: a pure function of the log and a time (design, ideas 4 and 5). No Beam, no Redis here.

A user's row as of log time T sums the counting facts appended before T, each once, whose decisions lie in the open
bucket or one of the closed ones before it. Rows are due at the first flush time behind a fact that changes them and, as
long as there is something to sum, at every bucket's end, once more when nothing is left. So a learner that begins
anywhere, in whatever batches, makes the same rows as one that never stopped.

Buckets go by the decision's time, not by the event's: all facts of a decision then lie in one bucket, so what a bucket
has counted can be forgotten with it, and a click counts as long as its decision is recent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beam_pipelines.learn.activity_facts import ActivityFacts
from beam_pipelines.learn.identities import IdentitySet, marked, other_kind
from contracts import ACTIVITY_SCHEMA, CLICK, ActivityRules, window_of

_TIME_SHIFT = np.uint64(16)
_KIND = np.uint64(1)
_I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ActivityRows:
    """Rows (n,): ``at_ms`` is their event time, in log time."""

    users: pa.Array
    shown: _I64
    clicked: _I64
    at_ms: _I64

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.at_ms)

    @classmethod
    def concatenate(cls, parts: "Sequence[ActivityRows]") -> "ActivityRows":
        """All rows in order."""
        none = np.zeros(0, dtype=np.int64)
        return cls(
            pa.concat_arrays([pa.array([], pa.utf8()), *(part.users for part in parts)]),
            *(
                np.concatenate([none, *(getattr(part, name) for part in parts)])
                for name in ("shown", "clicked", "at_ms")
            ),
        )

    def behind(self, at_ms: int) -> "ActivityRows":
        """The rows of later event times."""
        kept = self.at_ms > at_ms
        return ActivityRows(self.users.filter(pa.array(kept)), self.shown[kept], self.clicked[kept], self.at_ms[kept])

    def latest(self) -> "ActivityRows":
        """Of each user the row of the latest event time; these come in order of time."""
        numbers = self.users.dictionary_encode().indices.to_numpy(zero_copy_only=False)
        _, first = np.unique(numbers[::-1], return_index=True)
        kept = np.sort(len(self) - 1 - first)
        return ActivityRows(self.users.take(pa.array(kept)), self.shown[kept], self.clicked[kept], self.at_ms[kept])

    @property
    def ctr(self) -> NDArray[np.float32]:
        """Clicks by impression (n,); 0 where there is none."""
        ctr = np.zeros(len(self), dtype=np.float32)
        np.divide(self.clicked, self.shown, out=ctr, where=self.shown > 0, casting="same_kind")
        return ctr

    def table(self) -> pa.Table:
        """As a table of ``ACTIVITY_SCHEMA``, by time and user."""
        times = pa.array(self.at_ms * 1000).cast(ACTIVITY_SCHEMA.field("event_timestamp").type)
        arrays = [self.users, pa.array(self.shown), pa.array(self.clicked), pa.array(self.ctr), times]
        found = pa.Table.from_arrays(arrays, schema=ACTIVITY_SCHEMA)
        return found.sort_by([("event_timestamp", "ascending"), ("user", "ascending")])


@dataclass(frozen=True, slots=True)
class ActivityState:
    """What a user shard has counted, as of ``settled_ms`` of log time.

    ``seen`` are the facts counted by bucket (start, ms); ``shown`` and ``clicked`` (buckets, users) the counts of
    ``buckets``, ascending; ``rows`` those due in the open bucket of log time so far.
    """

    settled_ms: int = 0
    users: pa.Array = field(default_factory=lambda: pa.array([], pa.utf8()))
    seen: Mapping[int, IdentitySet] = field(default_factory=dict)
    buckets: tuple[int, ...] = ()
    shown: _I64 = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    clicked: _I64 = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    rows: tuple[ActivityRows, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to sum."""
        return not self.buckets

    @property
    def nbytes(self) -> int:
        """Memory of its arrays."""
        halves = sum(high.nbytes + low.nbytes for found in self.seen.values() for high, low in found.segments)
        rows = sum(part.users.nbytes + 3 * part.at_ms.nbytes for part in self.rows)
        return int(halves + rows + self.users.nbytes + self.shown.nbytes + self.clicked.nbytes)


@dataclass(frozen=True, slots=True)
class Settled:
    """What settling up to a time made.

    ``counted`` are the facts that the state holds more than before, ``waiting`` those appended later; ``rows`` were
    due; ``closed`` holds, by bucket's end (ms), all rows due in that bucket of log time.
    """

    state: ActivityState
    counted: ActivityFacts
    waiting: ActivityFacts
    rows: ActivityRows
    closed: Mapping[int, ActivityRows]


@dataclass(frozen=True, slots=True)
class _Events:
    """Facts that change counts, in order of the time at which they do: ``due_ms``, user, bucket, what they add."""

    due_ms: _I64
    users: pa.Array
    buckets: _I64
    shown: NDArray[np.bool_]
    clicked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.due_ms)

    def take(self, start: int, end: int) -> "_Events":
        part = slice(start, end)
        return _Events(
            self.due_ms[part],
            self.users.slice(start, end - start),
            self.buckets[part],
            self.shown[part],
            self.clicked[part],
        )


def buckets_of(facts: ActivityFacts, rules: ActivityRules) -> _I64:
    """Starts (n,) of the buckets that hold the facts' decisions."""
    return window_of((facts.high >> _TIME_SHIFT).astype(np.int64), rules.bucket_ms)


def due_of(append_ms: _I64, rules: ActivityRules) -> _I64:
    """The first flush time or bucket's end behind each append time."""
    flush, bucket = rules.flush_ms, rules.bucket_ms
    due: _I64 = np.minimum((append_ms // flush + 1) * flush, (append_ms // bucket + 1) * bucket)
    return due


def settle(state: ActivityState, facts: ActivityFacts, now_ms: int, rules: ActivityRules) -> Settled:
    """Count the facts appended before ``now_ms``, a flush time or bucket's end, and make the rows due by then.

    All facts appended before ``now_ms`` must be among ``facts`` or have been before.
    """
    now_ms = max(now_ms, state.settled_ms)
    due = due_of(facts.append_ms, rules)
    is_due = due <= now_ms
    waiting = facts.take(~is_due)
    # One that comes behind its time, which a sound runner never lets happen, is counted all the same.
    due = np.maximum(due[is_due], state.settled_ms)
    events, counted, seen = _fresh(state.seen, facts.take(is_due), due, rules)
    state = replace(state, seen=seen)
    rows: list[ActivityRows] = []
    closed: dict[int, ActivityRows] = {}
    done = 0
    while done < len(events) or not state.empty:
        start_ms = state.settled_ms
        if state.empty:
            # Nothing was due before the bucket in which the next fact counts.
            start_ms = max(start_ms, (int(events.due_ms[done]) - 1) // rules.bucket_ms * rules.bucket_ms)
        end_ms = rules.bucket_end(start_ms)
        till = int(np.searchsorted(events.due_ms, min(end_ms, now_ms), "right"))
        part = events.take(done, till)
        done = till
        state, made = _open_rows(state, part, end_ms, rules)
        rows.append(made)
        if end_ms > now_ms:
            break
        state, last = _close(state, end_ms, rules)
        rows.append(last)
        found = ActivityRows.concatenate([*state.rows, last])
        if len(found):
            closed[end_ms] = found
        state = replace(state, settled_ms=end_ms, rows=())
    state = replace(state, settled_ms=now_ms)
    return Settled(state, counted, waiting, ActivityRows.concatenate(rows), closed)


def restore(facts: ActivityFacts, settled_ms: int, rules: ActivityRules) -> ActivityState:
    """The state that counted these facts and was settled then."""
    return settle(ActivityState(), facts, settled_ms, rules).state


def _fresh(
    seen: Mapping[int, IdentitySet], facts: ActivityFacts, due: _I64, rules: ActivityRules
) -> tuple[_Events, ActivityFacts, dict[int, IdentitySet]]:
    """Events of facts not seen before whose bucket is summed when they are due, the facts, and all seen then."""
    buckets = buckets_of(facts, rules)
    recent = np.flatnonzero(buckets >= (due // rules.bucket_ms - rules.closed) * rules.bucket_ms)
    marks = marked(facts.low[recent], facts.kind[recent])
    # Facts of one decision lie together, the earliest due first: it is the one that counts.
    order = np.lexsort((marks & _KIND, due[recent], facts.high[recent], marks | _KIND))
    rows, marks = recent[order], marks[order]
    high = facts.high[rows]
    same = (high[1:] == high[:-1]) & (marks[1:] | _KIND == marks[:-1] | _KIND)
    first = np.append(True, ~same)[: len(rows)]
    # Within a decision, the first of each kind.
    run = np.cumsum(first)
    kinds = (marks & _KIND).astype(np.int64)
    _, once = np.unique(2 * run + kinds, return_index=True)
    unseen, shown = np.zeros(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_)
    after = dict(seen)
    # A handful.
    for bucket in np.unique(buckets[rows[once]]).tolist():
        here = once[buckets[rows[once]] == bucket]
        known = after.get(bucket, IdentitySet())
        new = here[~known.contains(high[here], marks[here])]
        unseen[new] = True
        shown[new] = first[new] & ~known.contains(high[new], other_kind(marks[new]))
        after[bucket] = known.add(high[new], marks[new])
    kept = np.flatnonzero(unseen)
    kept = kept[np.argsort(due[rows[kept]], kind="stable")]
    counted = facts.take(rows[kept])
    clicked = counted.kind == CLICK
    # The impression of a decision that was clicked before changes nothing.
    changing = shown[kept] | clicked
    kept = kept[changing]
    users = counted.users.filter(pa.array(changing))
    return _Events(due[rows[kept]], users, buckets[rows[kept]], shown[kept], clicked[changing]), counted, after


def _open_rows(
    state: ActivityState, events: _Events, end_ms: int, rules: ActivityRules
) -> tuple[ActivityState, ActivityRows]:
    """Count events due up to a bucket's end; rows for those due before it."""
    if len(events) == 0:
        return state, ActivityRows.concatenate([])
    users, codes = _coded(state.users, events.users)
    buckets = tuple(np.unique(np.append(np.array(state.buckets, dtype=np.int64), events.buckets)).tolist())
    places = np.searchsorted(buckets, events.buckets)
    before = np.searchsorted(buckets, state.buckets)
    shape = (len(buckets), len(users))
    shown, clicked = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    shown[before, : len(state.users)] = state.shown
    clicked[before, : len(state.users)] = state.clicked
    # By user and time: a user's counts at a time are those of before and a running sum.
    order = np.lexsort((events.due_ms, codes))
    order = order[events.due_ms[order] < end_ms]
    code, due_ms = codes[order], events.due_ms[order]
    sums = [
        _running(code, added[order]) + counts.sum(axis=0)[code]
        for counts, added in ((shown, events.shown), (clicked, events.clicked))
    ]
    last = np.flatnonzero(np.append((code[1:] != code[:-1]) | (due_ms[1:] != due_ms[:-1]), True)[: len(code)])
    last = last[np.argsort(due_ms[last], kind="stable")]
    rows = ActivityRows(users.take(pa.array(code[last])), sums[0][last], sums[1][last], due_ms[last])
    cells = places * len(users) + codes
    shown += np.bincount(cells[events.shown], minlength=shown.size).reshape(shape)
    clicked += np.bincount(cells[events.clicked], minlength=clicked.size).reshape(shape)
    kept = (*state.rows, rows) if len(rows) else state.rows
    return replace(state, users=users, buckets=buckets, shown=shown, clicked=clicked, rows=kept), rows


def _close(state: ActivityState, end_ms: int, rules: ActivityRules) -> tuple[ActivityState, ActivityRows]:
    """Forget what a row as of a bucket's end no longer sums; rows of all users who have, or just had, something."""
    oldest = rules.oldest(end_ms)
    kept = [place for place, bucket in enumerate(state.buckets) if bucket >= oldest]
    shown, clicked = state.shown[kept], state.clicked[kept]
    sums = shown.sum(axis=0), clicked.sum(axis=0)
    rows = ActivityRows(state.users, *sums, np.full(len(state.users), end_ms, dtype=np.int64))
    stay = np.flatnonzero(sums[0])
    after = replace(
        state,
        users=state.users.take(pa.array(stay)),
        seen={bucket: found for bucket, found in state.seen.items() if bucket >= oldest},
        buckets=tuple(state.buckets[place] for place in kept),
        shown=shown[:, stay],
        clicked=clicked[:, stay],
    )
    return after, rows


def _coded(known: pa.Array, users: pa.Array) -> tuple[pa.Array, _I64]:
    """Users known and new, and each one's place among them (n,)."""
    codes = pc.index_in(users, value_set=known)
    strangers = users.filter(pc.is_null(codes))
    if len(strangers) == 0:
        return known, codes.to_numpy(zero_copy_only=False).astype(np.int64)
    everyone = pa.concat_arrays([known, strangers.unique()])
    return everyone, pc.index_in(users, value_set=everyone).to_numpy(zero_copy_only=False).astype(np.int64)


def _running(codes: _I64, added: NDArray[np.bool_]) -> _I64:
    """Running sums (n,) within runs of equal codes."""
    sums = np.cumsum(added, dtype=np.int64)
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1])[: len(codes)])
    before = np.append(0, sums)[starts]
    running: _I64 = sums - np.repeat(before, np.diff(np.append(starts, len(codes))))
    return running
