"""Laws of the activity rows: the oracle's, whatever the order, the batches, the times of settling, the crashes."""

import random

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.learn.activity import ActivityRows, ActivityState, buckets_of, due_of, restore, settle
from beam_pipelines.learn.activity_facts import ActivityFacts, user_shards
from contracts import ActivityRules, Fact
from tests.beam_pipelines.activity_oracle import Row, as_rows, rows_until
from tests.beam_pipelines.facts import T0, changed, click_on, decision

BUCKET_MS = 10_000


def facts_of(appended: list[tuple[int, Fact]]) -> ActivityFacts:
    ids = np.frombuffer(b"".join(fact.decision_id for _, fact in appended), dtype=">u8").reshape(-1, 2)
    return ActivityFacts(
        np.array([fact.kind for _, fact in appended], dtype=np.uint8),
        ids[:, 0].astype(np.uint64),
        ids[:, 1].astype(np.uint64),
        np.array([append_ms for append_ms, _ in appended], dtype=np.int64),
        pa.array([fact.user for _, fact in appended], pa.utf8()),
    )


@st.composite
def visits(draw: st.DrawFn) -> list[tuple[int, Fact]]:
    """Facts of few users, appended soon or late, once or again, near the edges of flushes and buckets."""
    appended: list[tuple[int, Fact]] = []
    for seed in range(draw(st.integers(1, 14))):
        at = T0 + draw(st.integers(0, 7)) * BUCKET_MS + draw(st.sampled_from((0, 1, 2_500, BUCKET_MS - 1)))
        shown = changed(decision(at, seed), user=draw(st.sampled_from(("ann", "bob", "ünal ☃"))))
        delays = st.one_of(st.sampled_from((-1_500, -1, 0, 1, 999, 1_000, 1_001, BUCKET_MS)), st.integers(0, 45_000))
        for _ in range(draw(st.integers(0, 2))):
            appended.append((at + draw(delays), shown))
        for _ in range(draw(st.integers(0, 2))):
            appended.append((at + draw(delays), click_on(shown, at)))
    return appended


RULES = st.builds(ActivityRules, st.just(BUCKET_MS), st.integers(0, 3), st.sampled_from((1_000, 700, 3_000, 20_000)))


class Run:
    """A user shard that settles now and then, crashes and goes on."""

    def __init__(self, rules: ActivityRules) -> None:
        self.rules = rules
        self.state = ActivityState()
        self.counted = ActivityFacts.empty()
        self.waiting: list[ActivityFacts] = []
        self.rows: list[ActivityRows] = []
        self.closed: dict[int, list[Row]] = {}

    def settle(self, now_ms: int) -> None:
        done = settle(self.state, ActivityFacts.concatenate(self.waiting), now_ms, self.rules)
        self.state, self.waiting = done.state, [done.waiting]
        self.counted = ActivityFacts.concatenate([self.counted, done.counted])
        self.rows.append(done.rows)
        self.closed |= {end: as_rows(rows) for end, rows in done.closed.items()}
        kept = buckets_of(self.counted, self.rules) >= self.rules.oldest(now_ms)
        self.counted = self.counted.take(kept)


@given(visits(), RULES, st.integers(0, 1 << 32), st.sampled_from((0.0, 0.4)))
def test_rows_are_the_oracles_whatever_the_circumstances(
    appended: list[tuple[int, Fact]], rules: ActivityRules, seed: int, restores: float
) -> None:
    rng = random.Random(seed)
    run = Run(rules)
    todo = sorted(appended, key=lambda pair: pair[0])
    end_ms = (max((at for at, _ in todo), default=T0) // BUCKET_MS + 6) * BUCKET_MS
    now_ms = T0 - 5 * BUCKET_MS
    while now_ms < end_ms:
        now_ms = rules.bucket_end(now_ms) if rng.random() < 0.3 else int(due_of(np.array([now_ms]), rules)[0])
        if rng.random() < 0.5:
            continue
        # All that was appended before, and some of what comes later, out of order.
        due = [pair for pair in todo if pair[0] < now_ms or rng.random() < 0.2]
        todo = [pair for pair in todo if pair not in due]
        rng.shuffle(due)
        for start in range(0, len(due), 3):
            run.waiting.append(facts_of(due[start : start + 3]))
        run.settle(now_ms)
        if rng.random() < restores:
            back = restore(run.counted, run.state.settled_ms, rules)
            assert as_rows(ActivityRows.concatenate(back.rows)) == as_rows(ActivityRows.concatenate(run.state.rows))
            run.state = back
    run.waiting.append(facts_of(todo))
    run.settle(end_ms)
    expected = rows_until(appended, end_ms, rules)
    assert as_rows(ActivityRows.concatenate(run.rows)) == expected
    # What is put by for training is the same rows, by bucket of log time.
    assert sorted(row for rows in run.closed.values() for row in rows) == [
        row for row in expected if row[0] <= end_ms // BUCKET_MS * BUCKET_MS
    ]
    assert all(end - BUCKET_MS < at <= end for end, rows in run.closed.items() for at, *_ in rows)
    # Each user's latest row is what is served.
    served = {user: counts for _, user, *counts in expected}
    assert {user: counts for _, user, *counts in as_rows(ActivityRows.concatenate(run.rows).latest())} == served


@given(visits(), RULES)
def test_nothing_is_kept_of_users_who_left(appended: list[tuple[int, Fact]], rules: ActivityRules) -> None:
    end_ms = (max((at for at, _ in appended), default=T0) // BUCKET_MS + 20) * BUCKET_MS
    state = settle(ActivityState(), facts_of(appended), end_ms, rules).state
    assert state.empty
    assert (len(state.users), dict(state.seen), state.rows) == (0, {}, ())


TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))


@given(TEXTS, st.integers(1, 9), st.integers(0, 5))
def test_a_users_shard_is_its_own_and_facts_travel_unchanged(users: list[str], shards: int, skipped: int) -> None:
    count = len(users)
    facts = ActivityFacts(
        np.arange(count, dtype=np.uint8) % 2,
        np.arange(count, dtype=np.uint64),
        np.arange(count, dtype=np.uint64)[::-1],
        np.arange(count, dtype=np.int64),
        pa.array(users, pa.utf8()),
    )
    alone = [int(user_shards(pa.array([user], pa.utf8()), shards)[0]) for user in users]
    assert user_shards(facts.users, shards).tolist() == alone
    part = facts.between(min(skipped, count), count)
    back = ActivityFacts.decode(part.encode())
    assert back.users.to_pylist() == users[skipped:]
    split = facts.by_shard(shards)
    assert sorted(at for found in split.values() for at in found.append_ms.tolist()) == list(range(count))
    for shard, found in split.items():
        assert {alone[at] for at in found.append_ms.tolist()} == {shard}
        assert found.users.to_pylist() == [users[at] for at in found.append_ms.tolist()]
        assert ActivityFacts.decode(found.encode()).users.to_pylist() == found.users.to_pylist()


def test_users_spread_evenly_over_shards() -> None:
    users = pa.array([f"user-{number}" for number in range(40_000)])
    counts = np.bincount(user_shards(users, 8), minlength=8)
    assert counts.min() > 4_500
    assert counts.max() < 5_500
