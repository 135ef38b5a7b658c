"""A slow oracle of user activity, written from its definition: Python sets, one row at a time."""

from collections.abc import Iterable, Sequence

import numpy as np
import redis

from beam_pipelines.learn.activity import ActivityRows
from contracts import (
    ACTIVITY_FEATURES,
    ACTIVITY_VIEW,
    CLICK,
    ActivityRules,
    Fact,
    LineageSettings,
    PlannedEntity,
    ReadPlan,
    WritePlan,
    decision_ms,
    entity_key,
)
from stores.activity import read_activity
from stores.connect import command
from stores.feast_values import decode_timestamp, decode_value
from stores.objects import ObjectStore
from tests.stores.feast_bytes import planned_view

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


def counting(appended: Appended, settings: LineageSettings) -> Appended:
    """The facts that count: neither late nor early nor unattributed."""
    found = []
    for append_ms, fact in appended:
        at = decision_ms(fact.decision_id)
        window = at // settings.window_ms * settings.window_ms
        is_late = append_ms >= window + settings.window_ms + settings.attribution_ms + settings.grace_ms
        is_early = at > append_ms + settings.grace_ms
        is_unattributed = fact.kind == CLICK and fact.event_ms - at > settings.attribution_ms
        if not (is_late or is_early or is_unattributed):
            found.append((append_ms, fact))
    return found


def latest(rows: Sequence[Row]) -> dict[str, Row]:
    """Of each user the latest row."""
    return {row[1]: row for row in sorted(rows)}


def stored_rows(client: redis.Redis, plan: WritePlan, users: Iterable[str]) -> dict[str, Row]:
    """The rows that the online store holds, read by the field; a row's features must agree with each other."""
    found: dict[str, Row] = {}
    planned = plan.find(ACTIVITY_VIEW)
    assert planned is not None
    entity, view = planned
    for user in users:
        stored = command(client, "HGETALL", entity_key(entity, plan.plan.project, user))
        if not stored:
            continue
        at_ms = decode_timestamp(stored[view.timestamp_field]) // 10**6
        values = {feature.name: decode_value(stored[feature.field]) for feature in view.features}
        shown, clicked = values["recent_impressions"], values["recent_clicks"]
        assert isinstance(shown, int)
        assert isinstance(clicked, int)
        assert values["recent_ctr"] == float(np.float32(clicked / shown if shown else 0.0))
        found[user] = (at_ms, user, shown, clicked)
    return found


def put_by(objects: ObjectStore) -> list[Row]:
    """The rows that lie in the object store for training."""
    rows: list[Row] = []
    for table in read_activity(objects):
        for row in table.to_pylist():
            at_ms = round(row["event_timestamp"].timestamp() * 1000)
            rows.append((at_ms, row["user"], row["recent_impressions"], row["recent_clicks"]))
    return sorted(rows)


# The view as streams write it.
PLAN = WritePlan(
    ReadPlan(
        "shop",
        (PlannedEntity("user", "user", "STRING", (planned_view(ACTIVITY_VIEW, 900_000, **ACTIVITY_FEATURES),)),),
    )
)
