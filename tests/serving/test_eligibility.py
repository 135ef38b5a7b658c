import random
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from contracts import LINUCB, ORIGINAL, RANDOM, CreativeRef, InvalidInputError, TrafficPolicy, new_decision_id
from learner import Logged, ips
from serving.choice import choose_arm
from serving.eligibility import ARMS_EXCLUDED, CAPPED, MAX_LISTED_ARMS, ArmFilter, arm_filter, narrowed
from stores import EmbeddedRedis, PolicyStore, connect
from tests.serving.test_choice import CONTEXT, HASH, a_pack
from tests.serving.world import ServerProcess, facts_in_log, put_pack, wait_until

ARMS = ("beach", "loft", "marble", "oak", "sand", "tile")
REFS = {arm: CreativeRef(f"c-{arm}", f"/{arm}.png", 300, 250) for arm in ARMS}
NAMES = st.sampled_from([*ARMS, "unheard-of"])


@given(
    st.none() | st.lists(NAMES),
    st.none() | st.lists(NAMES),
    st.none() | st.lists(NAMES),
    st.none() | st.lists(NAMES),
    st.sets(st.sampled_from(ARMS)),
)
def test_lists_of_request_and_item_both_narrow(
    only: list[str] | None,
    exclude: list[str] | None,
    item_only: list[str] | None,
    item_exclude: list[str] | None,
    capped: set[str],
) -> None:
    filter_ = arm_filter(item_only, item_exclude, within=arm_filter(only, exclude))
    left, flag = narrowed(ARMS, filter_, REFS, frozenset(f"c-{arm}" for arm in capped))
    listed = [
        arm
        for arm in ARMS
        if all(names is None or arm in names for names in (only, item_only))
        and not any(names is not None and arm in names for names in (exclude, item_exclude))
    ]
    expected = tuple(arm for arm in listed if arm not in capped)
    assert left == expected
    assert flag == (None if expected else CAPPED if listed else ARMS_EXCLUDED)


def test_without_lists_there_is_no_filter_and_nothing_eligible_is_no_flag() -> None:
    assert arm_filter(None, None) is None
    assert narrowed(ARMS, None, REFS, frozenset()) == (ARMS, None)
    assert narrowed((), ArmFilter(exclude=frozenset(ARMS)), {}, frozenset({"c-oak"})) == ((), None)


def test_what_cannot_be_an_arm_and_too_long_a_list_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="not a valid name"):
        arm_filter(["a b"], None)
    with pytest.raises(InvalidInputError, match=f"at most {MAX_LISTED_ARMS}"):
        arm_filter(None, ["x"] * (MAX_LISTED_ARMS + 1))


@pytest.mark.parametrize("policy", [RANDOM, LINUCB])
def test_propensities_of_narrowed_choices_evaluate_other_policies_without_bias(policy: str) -> None:
    """Inverse propensity scores on filtered and capped traffic recover the value of another policy."""
    worth = dict(zip(ARMS, (0.9, 0.1, 0.5, 0.3, 0.7, 0.2), strict=True))
    chance, n = random.Random(7), 20_000
    pack = a_pack() if policy == LINUCB else None
    rewards, propensities, target, truth = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    drawn: Counter[tuple[tuple[str, ...], str]] = Counter()
    promised: dict[tuple[tuple[str, ...], str], float] = {}
    asked: Counter[tuple[str, ...]] = Counter()
    filters = [
        arm_filter(only, exclude)
        for only, exclude in ((None, None), (["beach", "oak", "tile"], None), (None, ["beach", "marble"]), ([], None))
    ]
    for row in range(n):
        capped = frozenset({"c-oak"} if chance.random() < 0.5 else ())
        eligible, _ = narrowed(ARMS, chance.choice(filters), REFS, capped)
        key = new_decision_id(1_700_000_000_000, chance.randbytes)
        chosen = choose_arm(policy, eligible, CONTEXT, pack, schema_hash=HASH, alpha=0.5, epsilon=0.4, key=key)
        assert chosen.eligible == (eligible or ("original",))
        drawn[eligible, chosen.arm] += 1
        asked[eligible] += 1
        promised[eligible, chosen.arm] = chosen.propensity
        best = max(chosen.eligible, key=lambda arm: worth.get(arm, 0.0))
        rewards[row] = worth.get(chosen.arm, 0.0)
        propensities[row] = chosen.propensity
        target[row] = float(chosen.arm == best)
        truth[row] = worth.get(best, 0.0)
    for (eligible, arm), times in drawn.items():
        share, of = promised[eligible, arm], asked[eligible]
        assert abs(times / of - share) <= 5 * (share * (1 - share) / of) ** 0.5 + 1e-12
    estimate = ips(Logged(rewards, propensities), target)
    assert estimate.low <= truth.mean() <= estimate.high


@pytest.fixture
def shop(shop_redis: EmbeddedRedis) -> Iterator[redis.Redis]:
    client = connect(shop_redis.url)
    yield client
    PolicyStore(client).put(TrafficPolicy())
    client.close()


def all_to(server: ServerProcess, client: redis.Redis, policy: str, **more: Any) -> None:
    PolicyStore(client).put(TrafficPolicy(split={policy: 1.0}, **more))
    wait_until(lambda: {server.decide(f"u{n}")["policy"] for n in range(9)} == {policy}, "the split is followed")


def decide(server: ServerProcess, body: dict[str, Any], user: str = "ann") -> list[Any]:
    reply = server.post("/v1/decide", {"user": user, "placement": "story", **body})
    assert reply.status == 200, reply
    found: list[Any] = reply.json()["decisions"]
    return found


def test_requests_and_items_say_which_arms_may_be_chosen(server: ServerProcess, shop: redis.Redis) -> None:
    all_to(server, shop, RANDOM)
    items = [{"id": "sofa-1", "exclude_arms": ["oak", "no-such-arm"]}, {"id": "sofa-2"}, {"id": "lamp-1"}]
    for _ in range(20):
        first, second, third = decide(server, {"items": items, "only_arms": ["oak", "sand", "elsewhere"]})
        assert (first["arm"], first["propensity"], first["flags"]) == ("sand", 1.0, [])
        for each in (second, third):
            assert each["arm"] in {"oak", "sand"}
            assert each["propensity"] == 0.5
    [only] = decide(server, {"item": {"id": "sofa-1", "only_arms": ["tile"]}})
    assert (only["arm"], only["propensity"]) == ("tile", 1.0)


def test_the_fact_says_what_was_eligible_after_narrowing(
    server: ServerProcess, shop: redis.Redis, shop_redis: EmbeddedRedis
) -> None:
    put_pack(shop, "sofas", "oak", 500)
    all_to(server, shop, LINUCB, epsilon={"sofas": 0.5})
    wait_until(lambda: server.decide()["propensity"] != pytest.approx(1 / 3), "epsilon is followed")
    [decision] = decide(server, {"item": {"id": "sofa-1"}, "exclude_arms": ["oak"]})
    token = decision["impression_url"].rpartition("/")[2]
    assert server.post("/v1/events", {"events": [{"token": token, "kind": "impression"}]}).status == 202
    number = uuid.UUID(decision["decision_id"]).bytes
    [fact] = [fact for fact in facts_in_log(shop_redis.url) if fact["decision_id"] == number]
    assert fact["eligible"] == ["sand", "tile"]
    assert fact["propensity"] == pytest.approx(decision["propensity"])
    assert decision["propensity"] in (pytest.approx(0.25), pytest.approx(0.75))


@pytest.mark.parametrize(
    "lists", [{"only_arms": ["no-such-arm"]}, {"only_arms": []}, {"exclude_arms": ["oak", "sand", "tile"]}]
)
def test_where_nothing_is_left_the_original_is_shown(
    server: ServerProcess, shop: redis.Redis, lists: dict[str, list[str]]
) -> None:
    all_to(server, shop, RANDOM)
    [decision] = decide(server, {"item": {"id": "sofa-1"}, **lists})
    assert (decision["arm"], decision["propensity"]) == ("original", 1.0)
    assert decision["creative"]["id"] == "sofa-1.story.original"
    assert decision["flags"] == ["no_creative", "arms_excluded"]
    assert server.get(decision["impression_url"]).status == 200
    assert b'backdrop_decision_flags_total{flag="arms_excluded"}' in server.get("/metrics").body


def test_the_policy_original_shows_the_original_whatever_is_listed(server: ServerProcess, shop: redis.Redis) -> None:
    all_to(server, shop, ORIGINAL)
    [decision] = decide(server, {"item": {"id": "sofa-1"}, "only_arms": ["oak"]})
    assert (decision["arm"], decision["flags"]) == ("original", [])


def test_bad_lists_are_one_clear_answer(server: ServerProcess) -> None:
    for lists, reason in (
        ({"only_arms": ["a b"]}, "invalid_id"),
        ({"exclude_arms": ["x"] * 300}, "invalid_id"),
        ({"only_arms": "oak"}, "wrong_type"),
    ):
        reply = server.post("/v1/decide", {"user": "ann", "placement": "story", "item": {"id": "sofa-1"}, **lists})
        assert (reply.status, reply.json()["error"]) == (400, reason)
