"""A slow oracle of user activity, written from its definition: Python sets, one row at a time."""

from collections.abc import Sequence

from beam_pipelines.learn.activity import ActivityRows
from contracts import CLICK, ActivityRules, Fact, decision_ms

# (event time ms, user, impressions, clicks)
Row = tuple[int, str, int, int]
Appended = Sequence[tuple[int, Fact]]


def row_at(appended: Appended, user: str, at_ms: int, rules: ActivityRules) -> tuple[int, int]:
    """Impressions and clicks as of a time, of counting facts."""
    shown, clicked = set(), set()
    for append_ms, fact in appended:
        if fact.user != user or append_ms >= at_ms:
            continue
        bucket = decision_ms(fact.decision_id) // rules.bucket_ms
        if bucket < at_ms // rules.bucket_ms - rules.closed:
            continue
        shown.add(fact.decision_id)
        if fact.kind == CLICK:
            clicked.add(fact.decision_id)
    return len(shown), len(clicked)


def rows_until(appended: Appended, until_ms: int, rules: ActivityRules) -> list[Row]:
    """All rows that are due up to a time, by time and user: those of changes, and those of buckets' ends."""
    if not appended:
        return []
    found: list[Row] = []
    first, last = min(at for at, _ in appended), max(at for at, _ in appended)
    flush, bucket = rules.flush_ms, rules.bucket_ms
    end = min(until_ms, last + bucket * (rules.closed + 8))
    grid = {at for at in range(first // flush * flush, end + 1, flush)}
    ends = {at for at in range(first // bucket * bucket, end + 1, bucket)}
    for user in {fact.user for _, fact in appended}:
        before, at_before = (0, 0), 0
        for at in sorted(grid | ends):
            now = row_at(appended, user, at, rules)
            # What had a change in between is told by the counts of the same buckets, short of this time's facts.
            earlier = [(moment, fact) for moment, fact in appended if moment < at_before]
            changed = now != row_at(earlier, user, at, rules)
            if changed or (at in ends and (now != (0, 0) or before != (0, 0))):
                found.append((at, user, *now))
            before, at_before = now, at
    return sorted(found)


def as_rows(rows: ActivityRows) -> list[Row]:
    """Rows of the fold in the oracle's form."""
    columns = (rows.at_ms.tolist(), rows.users.to_pylist(), rows.shown.tolist(), rows.clicked.tolist())
    return sorted(zip(*columns, strict=True))
