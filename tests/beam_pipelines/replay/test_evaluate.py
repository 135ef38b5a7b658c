"""Evaluation from the log: outcomes as the facts say, values as the world that made them says."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from beam_pipelines.learn.closing import total
from beam_pipelines.replay import Candidate, Evaluation, evaluate, outcomes, replay
from beam_pipelines.replay.evaluate import packs_of
from contracts import IMPRESSION, Fact, LogEntry, Position, new_decision_id
from learner import HYBRID, Bootstrap, ModelSettings, fit_hybrid, tag_vectors
from tests.beam_pipelines.facts import T0, batch, click_on, decision, entries_of, settings_of

ARMS = ("plain", "warm", "cold")
SETTINGS = settings_of(2)
END = T0 + 400_000


def shown(at_ms: int, rng: random.Random, *, user: int, policy: str = "random") -> Fact:
    """An evenly random decision; people of one kind like ``warm``, the others ``cold``."""
    kind = rng.choice((-1, 1))
    return Fact(
        kind=IMPRESSION,
        decision_id=new_decision_id(at_ms, rng.randbytes),
        decision_ms=at_ms,
        event_ms=at_ms,
        user=f"user-{user}",
        item="item",
        category="lamps",
        arm=rng.choice(ARMS),
        creative="creative",
        placement="feed",
        policy=policy,
        eligible=ARMS,
        propensity=1 / 3,
        generation=0,
        context=np.array([1024, kind * 1024], dtype="<i2").tobytes(),
    )


def likes(fact: Fact) -> float:
    kind = np.frombuffer(fact.context, dtype="<i2")[1]
    return 0.30 if fact.arm == ("warm" if kind > 0 else "cold") else 0.05


def world(decisions: int) -> list[LogEntry]:
    rng = random.Random(3)
    facts: dict[int, list[Fact]] = {}
    for i in range(decisions):
        at = T0 + (END - T0) * i // decisions
        fact = shown(at, rng, user=i % 700)
        facts.setdefault(at // 1000 * 1000 + 1000, []).extend([fact, fact])
        if rng.random() < likes(fact):
            facts.setdefault(at // 1000 * 1000 + 3000, []).append(click_on(fact, at + 600))
    return entries_of(facts.items(), 2)


def run(entries: list[LogEntry], **options: Any) -> list[Evaluation]:
    def log() -> Iterator[LogEntry]:
        return iter(entries)

    return evaluate(
        log,
        SETTINGS,
        Candidate(**options),
        policy="random",
        learn_until_ms=(T0 + END) // 2,
        until_ms=END + SETTINGS.bound_ms(0),
        bootstrap=Bootstrap(),
    )


def test_what_linucb_would_have_earned_is_within_every_interval() -> None:
    whole, lamps = run(world(12_000), alpha=0.05)
    assert (whole.category, lamps.category) == ("", "lamps")
    assert whole.decisions == lamps.decisions == pytest.approx(6_000, abs=5)
    assert whole.logged == pytest.approx(0.1333, abs=0.02)
    assert [estimate.estimator for estimate in whole.estimates] == ["ips", "snips", "doubly robust"]
    for estimate in whole.estimates:
        assert estimate.claim
        # Two thousand decisions have taught it everything: it always picks the arm that is liked.
        assert estimate.low <= 0.30 <= estimate.high
        assert estimate.low > whole.logged


def test_a_candidate_that_only_explores_earns_what_random_did() -> None:
    whole, _ = run(world(6_000), epsilon=1.0)
    for estimate in whole.estimates[:2]:
        assert estimate.value == pytest.approx(whole.logged, rel=1e-6)


def test_short_logs_bear_no_claim() -> None:
    whole, _ = run(world(300))
    assert {estimate.claim for estimate in whole.estimates} == {False}


def test_without_decisions_there_is_nothing() -> None:
    assert run([]) == []


def test_outcomes_take_each_decision_once_and_only_facts_that_count() -> None:
    at = T0 + 1_000
    first, second, other = decision(at, 1), decision(at, 2), decision(at, 3)
    policies = {fact.policy for fact in (first, second)} | {"linucb", "random"}
    facts = [
        (at + 1, [first, first]),
        (at + 50, [click_on(first, at + 40)]),
        # A click alone shows its decision; one beyond the attribution window does not click it.
        (at + 60, [click_on(second, at + 60)]),
        (at + 70, [click_on(other, at + SETTINGS.attribution_ms + 1), other]),
        # Late: appended at the bound.
        (SETTINGS.bound_ms(T0), [decision(at, 4)]),
        # Its clicks are not complete yet.
        (T0 + 80_000, [decision(T0 + 80_000, 5)]),
    ]
    entries = [*entries_of(facts, 3), LogEntry(0, Position(T0 + 90_000, 0), b"poison")]
    settings = settings_of(3)
    found = [
        outcomes(entries, settings, policy=policy, from_ms=T0, until_ms=settings.bound_ms(T0) + 1)
        for policy in sorted(policies)
    ]
    assert sum(map(len, found)) == 3
    assert sum(int(part.clicked.sum()) for part in found) == 2
    for part in found:
        assert part.eligible.all()
        assert part.contexts.shape == (len(part), 3)
    assert len(outcomes(entries, settings, policy="random", from_ms=at + 1, until_ms=settings.bound_ms(T0) + 1)) == 0


def test_a_batch_of_another_schema_is_passed_over() -> None:
    blob = batch([decision(T0, 1)], 3, "0123456789abcdef")
    entries = [LogEntry(0, Position(T0 + 1, 0), blob)]
    for policy in ("random", "linucb"):
        assert len(outcomes(entries, settings_of(3), policy=policy, from_ms=0, until_ms=END)) == 0


def test_the_model_that_is_set_is_the_one_evaluated() -> None:
    entries = world(3_000)
    tags = {arm: {"mood": arm} for arm in ARMS}
    hybrid = Candidate(alpha=0.2, model=ModelSettings(HYBRID, ridge=3.0, shared=(0, 1)), tags_of=lambda _: tags)
    state = replay(entries, SETTINGS, lineage="evaluation", watermark_ms=END)
    pack = packs_of(state, 2, hybrid)["lamps"]
    lamps = state.categories["lamps"]
    sums = total([*([lamps.base] if lamps.base else []), *lamps.deltas.values()], 2)
    expected = fit_hybrid(sums, tag_vectors(tags), (0, 1), alpha=0.2, ridge=3.0)
    assert pack.to_arrow() == expected.to_arrow()
    found = run(entries, alpha=0.05, model=hybrid.model, tags_of=hybrid.tags_of)[0].estimates[1]
    assert found.low < 0.30 < found.high
