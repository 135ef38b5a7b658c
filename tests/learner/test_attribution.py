"""The attribution rule at, just under and over each of its bounds."""

import numpy as np
import pytest

from contracts import CLICK, IMPRESSION, decode_facts
from learner import COUNTS, EARLY, LATE, UNATTRIBUTED, counting, verdicts
from tests.beam_pipelines.facts import T0, batch, click_on, decision, settings_of

SETTINGS = settings_of()
BOUND = T0 + 35_000


@pytest.mark.parametrize(
    ("kind", "decided", "event", "appended", "verdict"),
    [
        (IMPRESSION, T0, T0, BOUND - 1, COUNTS),
        (IMPRESSION, T0, T0, BOUND, LATE),
        (IMPRESSION, T0 + 9_999, T0, BOUND - 1, COUNTS),
        (IMPRESSION, T0 + 10_000, T0, BOUND, COUNTS),
        (IMPRESSION, T0, T0, T0 - 5_000, COUNTS),
        (IMPRESSION, T0, T0, T0 - 5_001, EARLY),
        (CLICK, T0, T0 + 20_000, T0 + 20_000, COUNTS),
        (CLICK, T0, T0 + 20_001, T0 + 20_001, UNATTRIBUTED),
        (CLICK, T0, T0 - 100, T0, COUNTS),
        (IMPRESSION, T0, T0 + 20_001, T0 + 20_001, COUNTS),
        (CLICK, T0, T0 + 40_000, BOUND, LATE),
        (CLICK, T0, T0 + 40_000, T0 - 5_001, EARLY),
    ],
)
def test_verdicts(kind: int, decided: int, event: int, appended: int, verdict: int) -> None:
    one, two, three, four = (np.array([value], dtype=np.int64) for value in (kind, decided, event, appended))
    assert verdicts(one, two, three, four, SETTINGS).tolist() == [verdict]


def test_a_batch_is_judged_by_the_log_alone() -> None:
    shown = decision(T0, 1)
    facts = decode_facts(batch([shown, click_on(shown, T0 + 20_001), decision(T0 + 60_000, 2)]))
    assert counting(facts, T0 + 21_000, SETTINGS).tolist() == [COUNTS, UNATTRIBUTED, EARLY]
    assert counting(facts, np.array([BOUND, T0, T0 + 55_000]), SETTINGS).tolist() == [LATE, UNATTRIBUTED, COUNTS]
