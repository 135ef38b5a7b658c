import json
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import LINUCB, ORIGINAL, POLICIES, RANDOM, InvalidInputError, TrafficPolicy

users = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def splits(draw: st.DrawFn) -> dict[str, float]:
    chosen = draw(st.lists(st.sampled_from(POLICIES), unique=True, min_size=1))
    weights = [draw(st.floats(0.01, 1)) for _ in chosen]
    return {policy: weight / sum(weights) for policy, weight in zip(chosen, weights, strict=True)}


@given(users, splits(), st.text(max_size=5))
def test_a_user_always_gets_the_same_policy_with_a_share(user: str, split: dict[str, float], salt: str) -> None:
    policy = TrafficPolicy(split=split, salt=salt.encode(errors="replace").decode())
    chosen = policy.policy_of(user)
    assert split[chosen] > 0
    reordered = TrafficPolicy(split=dict(reversed(split.items())), salt=policy.salt, version=9)
    assert reordered.policy_of(user) == chosen


def test_shares_are_kept() -> None:
    policy = TrafficPolicy(split={ORIGINAL: 0.2, RANDOM: 0.3, LINUCB: 0.5})
    found = Counter(policy.policy_of(f"user-{number}") for number in range(20_000))
    for name, share in policy.split.items():
        # Five standard deviations.
        assert abs(found[name] / 20_000 - share) < 5 * math.sqrt(share * (1 - share) / 20_000)


def test_the_salt_deals_anew() -> None:
    one, other = TrafficPolicy(salt="a"), TrafficPolicy(salt="b")
    same = sum(one.policy_of(f"u{number}") == other.policy_of(f"u{number}") for number in range(3000))
    assert 800 < same < 1200


def test_growing_one_share_only_moves_users_into_it() -> None:
    before = TrafficPolicy(split={ORIGINAL: 0.5, LINUCB: 0.5})
    after = TrafficPolicy(split={ORIGINAL: 0.2, LINUCB: 0.8})
    for number in range(2000):
        if before.policy_of(f"u{number}") == LINUCB:
            assert after.policy_of(f"u{number}") == LINUCB


@given(st.floats(0.05, 0.3), st.floats(0.05, 0.3), st.floats(-0.04, 0.2), st.sampled_from([ORIGINAL, RANDOM]))
def test_a_share_moved_to_or_from_linucb_moves_its_users_only(
    original: float, random: float, moved: float, other: str
) -> None:
    shares = {ORIGINAL: original, RANDOM: random, LINUCB: 1 - original - random}
    before = TrafficPolicy(split=shares)
    after = TrafficPolicy(split=shares | {other: shares[other] + moved, LINUCB: shares[LINUCB] - moved})
    users = [f"u{number}" for number in range(400)]
    changes = {(before.policy_of(user), after.policy_of(user)) for user in users}
    changes = {(old, new) for old, new in changes if old != new}
    assert changes <= {(LINUCB, other) if moved > 0 else (other, LINUCB)}


def test_a_policy_without_a_share_decides_for_nobody() -> None:
    policy = TrafficPolicy(split={ORIGINAL: 0.0, LINUCB: 1.0})
    assert {policy.policy_of(f"u{number}") for number in range(500)} == {LINUCB}


def test_shares_that_fall_short_by_rounding_still_cover_everyone() -> None:
    policy = TrafficPolicy(split={ORIGINAL: 0.3333333, RANDOM: 0.3333333, LINUCB: 0.3333333})
    assert all(policy.policy_of(f"u{number}") in POLICIES for number in range(2000))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": {"magic": 1.0}}, "unknown policies"),
        ({"split": {ORIGINAL: 0.5}}, "sum to 1"),
        ({"split": {ORIGINAL: 1.5, RANDOM: -0.5}}, "sum to 1"),
        ({"split": {ORIGINAL: math.nan}}, "sum to 1"),
        ({"split": {}}, "sum to 1"),
        ({"default_alpha": -0.1}, "alpha = -0.1"),
        ({"alpha": {"shoes": math.inf}}, "alpha = inf"),
        ({"default_alpha": 1e10}, "alpha = 1"),
        ({"default_epsilon": 1.5}, "epsilon = 1.5"),
        ({"epsilon": {"shoes": math.nan}}, "epsilon = nan"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        TrafficPolicy.from_json(json.dumps(change).encode())


def test_overrides_apply_to_their_category() -> None:
    policy = TrafficPolicy(alpha={"shoes": 0.7}, epsilon={"shoes": 0.2})
    assert (policy.alpha_of("shoes"), policy.alpha_of("hats")) == (0.7, 0.1)
    assert (policy.epsilon_of("shoes"), policy.epsilon_of("hats")) == (0.2, 0.0)


@given(splits(), st.integers(0, 2**40), st.booleans())
def test_json_round_trip(split: dict[str, float], version: int, include: bool) -> None:
    policy = TrafficPolicy(version=version, split=split, alpha={"a": 0.5}, include_original=include)
    again = TrafficPolicy.from_json(policy.to_json())
    assert again.to_json() == policy.to_json()
    assert again == policy


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b'{"nope": 1}', b"\xff", b'{"split": 3}', b'{"alpha": null}'])
def test_other_documents_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError):
        TrafficPolicy.from_json(data)
