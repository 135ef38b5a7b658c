"""The page about many runs: what it claims is what the runs' results say."""

import json
import math
import re
from dataclasses import asdict
from typing import Any

import pytest

from contracts import InvalidInputError
from demo.config import DemoResult, TrafficFigures
from demo.measure import Phase
from demo.report import IdentityCheck, LiftRow, PolicyRow, Report
from demo.runs import Run, closing_part, summary

IDENTICAL = IdentityCheck(True, 9, 61_234)
DIFFERENT = IdentityCheck(False, 9, 61_234, ("lamps: base differs",))
CLEAR = LiftRow("linucb", "random", 0.52, 0.41, 0.64, 0.61)
UNCLEAR = LiftRow("linucb", "random", 0.08, -0.03, 0.19, 0.61)
PRINTED = """\
Redis answers at redis://127.0.0.1:7000/0
Click-through rate by policy
 original   3.0 %
Lift, bootstrap by user
 linucb over random  +52 %
streaming state == batch replay of the event log: identical (9 closed windows, 61,234 facts)
result: here
"""


def run(
    seed: int,
    *,
    linucb: LiftRow = CLEAR,
    random: tuple[float, float, float] = (0.15, 0.04, 0.26),
    identity: IdentityCheck = IDENTICAL,
    decisions: int = 100_000,
) -> Run:
    lift, low, high = random
    report = Report(
        rows=(PolicyRow("linucb", 20_000, 19_000, 1_000, 0.052, 0.05, 0.055, 0.05),),
        lifts=(LiftRow("random", "original", lift, low, high, 0.15), linucb),
        best_over_random=1.0,
        identity=identity,
    )
    traffic = TrafficFigures(decisions, 120.0, 833.4, 61_234, 2_000.0, 1.25, 2.5, {}, {})
    phases = (Phase("redis", 0.5, 64 << 20), Phase("traffic", 120.0, 900 << 20))
    result = DemoResult(seed, "demo", report, traffic, phases)
    # As it comes back from result.json.
    plain: dict[str, Any] = json.loads(json.dumps(result.to_plain()))
    return Run(plain, closing_part(PRINTED.splitlines()) + f"\n(seed {seed})")


def row_of(page: str, seed: int) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(f"| {seed} | "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_closing_part_reaches_from_the_first_table_to_the_identity_check() -> None:
    part = closing_part(PRINTED.splitlines()).splitlines()
    assert part[0] == "Click-through rate by policy"
    assert part[-1].startswith("streaming state == batch replay of the event log: identical")
    assert len(part) == 5


def test_output_without_a_closing_table_is_not_passed_off_as_one() -> None:
    with pytest.raises(InvalidInputError, match=r"2 lines .* no closing table"):
        closing_part(["Redis answers", "interrupted"])


def test_all_well_is_counted_as_such() -> None:
    page = summary([run(seed) for seed in (1, 2, 3)])
    assert page.startswith("# The demo, 3 seeds\n")
    assert "- `linucb` above `random`, interval above zero: 3 of 3\n" in page
    assert "- `random` above `original`: 3 of 3 (interval above zero: 3)\n" in page
    assert "- streaming state identical to the batch replay: 3 of 3\n" in page
    assert "not significant" not in page
    assert "NO" not in page


def test_a_row_says_what_the_run_found() -> None:
    assert row_of(summary([run(7, decisions=98_765)]), 7) == [
        "7",
        "98,765",
        "833",
        "1.2 s / 2.5 s",
        "+15% (+4% to +26%)",
        "+52% (+41% to +64%)",
        "+61%",
        "9",
        "61,234",
        "yes",
    ]


def test_what_is_not_significant_is_neither_counted_nor_hidden() -> None:
    page = summary([run(1), run(2, linucb=UNCLEAR, random=(0.05, -0.06, 0.17)), run(3, random=(-0.02, -0.12, 0.09))])
    assert "- `linucb` above `random`, interval above zero: 2 of 3\n" in page
    assert "- `random` above `original`: 2 of 3 (interval above zero: 1)\n" in page
    assert row_of(page, 2)[4:6] == ["+5% (-6% to +17%, not significant)", "+8% (-3% to +19%, not significant)"]
    assert row_of(page, 3)[4] == "-2% (-12% to +9%, not significant)"


def test_a_clear_loss_is_no_win() -> None:
    worse = LiftRow("linucb", "random", -0.2, -0.3, -0.1, 0.6)
    page = summary([run(1, linucb=worse)])
    assert "- `linucb` above `random`, interval above zero: 0 of 1\n" in page
    assert row_of(page, 1)[5] == "-20% (-30% to -10%)"


def test_a_run_that_is_not_identical_stands_out() -> None:
    page = summary([run(1), run(2, identity=DIFFERENT)])
    assert "- streaming state identical to the batch replay: 1 of 2\n" in page
    assert (row_of(page, 1)[-1], row_of(page, 2)[-1]) == ("yes", "NO")


def test_numbers_that_do_not_exist_are_dashes_and_count_as_no_win() -> None:
    nothing = LiftRow("linucb", "random", math.nan, -math.inf, math.inf, math.nan)
    one = run(1, linucb=nothing)
    one.result["traffic"] |= {"lag_mean_s": None, "lag_p95_s": None}
    page = summary([one])
    assert "- `linucb` above `random`, interval above zero: 0 of 1\n" in page
    assert row_of(page, 1)[3:7] == ["– s / – s", "+15% (+4% to +26%)", "– (– to –, not significant)", "–"]


def test_phases_and_closing_tables_of_every_run_are_there() -> None:
    page = summary([run(1), run(2)])
    assert "| seed | redis | traffic |\n| --- | --- | --- |\n" in page
    assert page.count("| 0.5 / 64 | 120.0 / 900 |\n") == 2
    for seed in (1, 2):
        block = re.search(rf"### Seed {seed}\n\n```\n(.*?)\n```\n", page, re.DOTALL)
        assert block is not None
        assert block[1].startswith("Click-through rate by policy")
        assert block[1].endswith(f"(seed {seed})")


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    tables = re.findall(r"(?:^\|.*\n)+", summary([run(1), run(2, linucb=UNCLEAR)]), re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_lifts_come_by_the_names_of_both_policies() -> None:
    one = run(1)
    assert one.lift("linucb", "random") == {**asdict(CLEAR), "significant": True}
    with pytest.raises(StopIteration):
        one.lift("random", "linucb")
