import io
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from contracts import LINUCB, ORIGINAL, POLICIES, RANDOM
from demo.outcomes import Outcomes, Tally, tally
from demo.population import make_population
from demo.report import IdentityCheck, LiftRow, Report, bootstrap_rates, make_report
from demo.tables import print_closing
from demo.world import DEMO_WORLD, build_world

if TYPE_CHECKING:
    from tests.demo.conftest import SmallShop


Floats = NDArray[np.float64]
TRUTH = (0.03, 0.0345, 0.06)


def plain_tally(shown: Floats, clicks: Floats, policies: Sequence[str] = POLICIES) -> Tally:
    names = len(policies)
    return Tally(
        policies=tuple(policies),
        decisions=shown.sum(axis=0).astype(np.int64),
        shown=shown,
        clicks=clicks,
        actual=np.array(TRUTH[:names]),
        original=np.full(names, 0.03),
        random=np.full(names, 0.0345),
        best=np.full(names, 0.069),
    )


def grouped(
    rng: np.random.Generator,
    users: int = 900,
    views: int = 40,
    rates: Sequence[float] = TRUTH,
    spread: float = 0.0,
) -> tuple[Floats, Floats]:
    """Users split in three; each clicks at its policy's rate times its own factor."""
    policy = np.arange(users) % 3
    shown = np.zeros((users, 3))
    shown[np.arange(users), policy] = rng.poisson(views, users)
    factor = np.exp(spread * rng.standard_normal(users) - spread**2 / 2)
    clicks = rng.binomial(shown.astype(int), np.clip(np.outer(factor, rates), 0, 1))
    return shown, clicks.astype(np.float64)


def text_of(report: Report) -> str:
    written = io.StringIO()
    print_closing(Console(file=written, width=80, no_color=True), report, "demo", DEMO_WORLD)
    return written.getvalue()


def find(report: Report, policy: str, over: str) -> LiftRow:
    row = report.lift(policy, over)
    assert row is not None
    return row


def test_lifts_and_rates_of_known_sums() -> None:
    shown, clicks = np.zeros((3, 3)), np.zeros((3, 3))
    np.fill_diagonal(shown, [1000, 1000, 1000])
    np.fill_diagonal(clicks, [20, 30, 60])
    report = make_report(plain_tally(shown, clicks), np.random.default_rng(0))
    assert [row.ctr for row in report.rows] == [0.02, 0.03, 0.06]
    assert find(report, RANDOM, ORIGINAL).lift == pytest.approx(0.5)
    assert find(report, LINUCB, ORIGINAL).lift == pytest.approx(2.0)
    assert find(report, LINUCB, RANDOM).lift == pytest.approx(1.0)
    assert find(report, RANDOM, ORIGINAL).truth == pytest.approx(0.15)
    assert find(report, LINUCB, RANDOM).truth == pytest.approx(0.06 / 0.0345 - 1)
    assert report.best_over_random == pytest.approx(1.0)


def test_bootstrap_intervals_cover_the_true_lift_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    runs, covered = 300, 0
    for _ in range(runs):
        shown, clicks = grouped(rng, users=450, spread=0.5)
        row = find(make_report(plain_tally(shown, clicks), rng, resamples=300), LINUCB, RANDOM)
        covered += row.low <= 0.06 / 0.0345 - 1 <= row.high
    assert 0.91 <= covered / runs <= 0.985


def test_bootstrap_is_wider_when_users_differ() -> None:
    def width(spread: float) -> float:
        rng = np.random.default_rng(1)
        shown, clicks = grouped(rng, users=600, views=200, spread=spread)
        row = find(make_report(plain_tally(shown, clicks), rng), LINUCB, RANDOM)
        return row.high - row.low

    assert width(1.2) > 1.5 * width(0.0)


def test_bootstrap_agrees_with_a_plain_loop() -> None:
    shown, clicks = grouped(np.random.default_rng(2), users=120)
    fast = bootstrap_rates(shown, clicks, np.random.default_rng(3), resamples=400)
    rng = np.random.default_rng(4)
    slow = []
    for _ in range(400):
        drawn = rng.integers(0, 120, 120)
        slow.append(clicks[drawn].sum(axis=0) / shown[drawn].sum(axis=0))
    assert fast.mean(axis=0) == pytest.approx(np.mean(slow, axis=0), rel=0.02)
    assert fast.std(axis=0) == pytest.approx(np.std(slow, axis=0), rel=0.15)


def test_bootstrap_is_a_function_of_the_seed() -> None:
    shown, clicks = grouped(np.random.default_rng(5))
    one, two = (bootstrap_rates(shown, clicks, np.random.default_rng(9), 50) for _ in range(2))
    assert np.array_equal(one, two)


def test_table_says_plainly_what_is_not_significant() -> None:
    rng = np.random.default_rng(6)
    shown, clicks = grouped(rng, users=90, views=20, rates=(0.03, 0.03, 0.03))
    report = make_report(plain_tally(shown, clicks), rng)
    assert not find(report, LINUCB, RANDOM).significant
    assert "not significant" in text_of(report)


def test_table_shows_what_is_significant_and_the_stronger_world() -> None:
    rng = np.random.default_rng(6)
    shown, clicks = grouped(rng, users=3000)
    check = IdentityCheck(True, 11, 63_210)
    text = text_of(make_report(plain_tally(shown, clicks), rng, check))
    assert "linucb over random" in text
    assert "…" not in text
    assert "higher" in text
    assert "stronger than the paper's" in text
    assert "streaming state == batch replay of the event log: identical (11 closed windows, 63,210 facts)" in text


def test_a_difference_of_states_is_not_hidden() -> None:
    line = IdentityCheck(False, 3, 10, ("chairs: base differs",)).line()
    assert "DIFFERENT" in line
    assert "chairs: base differs" in line


def test_a_single_policy_has_no_lifts() -> None:
    report = make_report(
        plain_tally(np.array([[50.0]]), np.array([[2.0]]), policies=(LINUCB,)), np.random.default_rng(0)
    )
    assert report.lifts == ()
    assert len(report.rows) == 1


def test_nothing_shown_gives_a_report_without_numbers_that_json_can_hold() -> None:
    report = make_report(plain_tally(np.zeros((4, 3)), np.zeros((4, 3))), np.random.default_rng(0))
    assert math.isnan(report.rows[0].ctr)
    assert not any(row.significant for row in report.lifts)
    text = json.dumps(report.to_plain(), allow_nan=False)
    assert json.loads(text)["rows"][0]["ctr"] is None
    assert "n/a" in text_of(report)


def test_tally_counts_only_what_was_shown(shop: "SmallShop") -> None:
    rng = np.random.default_rng(0)
    population = make_population(20, rng)
    world = build_world(population, shop.products, shop.placements, shop.prompts, DEMO_WORLD, rng)
    n = 600
    outcomes = Outcomes(
        user=rng.integers(0, 20, n),
        item=rng.integers(0, len(world.items), n),
        placement=rng.integers(0, 3, n),
        arm=np.where(np.arange(n) % 3 == 0, 0, 1),
        policy=np.arange(n) % 3,
        shown=rng.random(n) < 0.8,
        clicked=rng.random(n) < 0.3,
    )
    sums = tally(outcomes, world)
    for q in range(3):
        mine = outcomes.policy == q
        seen = mine & outcomes.shown
        assert sums.decisions[q] == mine.sum()
        assert sums.shown[:, q].sum() == seen.sum()
        assert sums.clicks[:, q].sum() == (seen & outcomes.clicked).sum()
        expected = world.probability(
            outcomes.user[seen], outcomes.item[seen], outcomes.placement[seen], outcomes.arm[seen]
        )
        assert sums.actual[q] == pytest.approx(expected.mean())
    assert sums.actual[0] == pytest.approx(sums.original[0])
    only = tally(outcomes, world, [LINUCB])
    assert only.policies == (LINUCB,)
    assert only.shown[:, 0].sum() == sums.shown[:, 2].sum()
