import json
import struct
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from contracts import (
    LINUCB,
    ORIGINAL,
    RANDOM,
    CreativeRef,
    SystemClock,
    TrafficPolicy,
    decision_ms,
    encode_payload,
    new_decision_id,
)
from contracts.token import MAX_PAYLOAD_BYTES
from serving import TokenSealer, load_keyring
from stores import ArmStatus, CreativeIndex, EmbeddedRedis, PolicyStore, connect
from tests.serving.world import (
    LINEAGE,
    SCHEMA,
    TTL_MS,
    ServerProcess,
    context_of,
    facts_in_log,
    put_features,
    put_pack,
    wait_until,
)

USERS = [f"user-{number}" for number in range(60)]


@pytest.fixture
def shop(shop_redis: EmbeddedRedis) -> Iterator[redis.Redis]:
    client = connect(shop_redis.url)
    yield client
    client.close()


@pytest.fixture
def split(server: ServerProcess, shop: redis.Redis) -> Iterator["Split"]:
    """Changes the traffic split while the server runs, and puts the default back."""
    yield Split(server, shop)
    Split(server, shop).put(TrafficPolicy())


class Split:
    def __init__(self, server: ServerProcess, client: redis.Redis) -> None:
        self.server = server
        self.store = PolicyStore(client)

    def put(self, policy: TrafficPolicy) -> None:
        self.store.put(policy)
        wait_until(
            lambda: self.served() == {user: policy.policy_of(user) for user in USERS[:12]}, "the split is followed"
        )

    def all_to(self, policy: str, **more: object) -> None:
        self.put(replace(TrafficPolicy(split={policy: 1.0}), **more))  # type: ignore[arg-type]

    def served(self) -> dict[str, str]:
        return {user: self.server.decide(user)["policy"] for user in USERS[:12]}


def test_a_decision_has_all_that_a_page_needs(server: ServerProcess, split: Split) -> None:
    split.all_to(RANDOM)
    before = time.time_ns() // 1_000_000
    decision = server.decide("ann", "sofa-1", "story")
    assert decision["arm"] in {"oak", "sand", "tile"}
    assert decision["propensity"] == pytest.approx(1 / 3)
    assert decision["creative"] == {
        "id": f"sofa-1.story.{decision['arm']}",
        "url": f"{server.config.base_url}/media/creatives/sofa-1.story.{decision['arm']}.png",
        "width": 540,
        "height": 960,
    }
    assert (decision["policy"], decision["flags"], decision["request_flags"]) == (RANDOM, [], [])
    made_ms = decision_ms(uuid.UUID(decision["decision_id"]).bytes)
    assert before <= made_ms <= time.time_ns() // 1_000_000


def test_users_keep_their_policy_and_the_split_is_the_documents(server: ServerProcess) -> None:
    policy = TrafficPolicy()
    served = {user: {server.decide(user)["policy"] for _ in range(2)} for user in USERS}
    assert served == {user: {policy.policy_of(user)} for user in USERS}
    assert {each for found in served.values() for each in found} == {ORIGINAL, RANDOM, LINUCB}


def test_many_items_in_one_request(server: ServerProcess, split: Split) -> None:
    split.all_to(RANDOM)
    items = [{"id": "sofa-1"}, {"id": "lamp-1"}, {"id": "sofa-1"}]
    answer = server.post("/v1/decide", {"user": "ann", "placement": "top", "items": items}).json()
    assert [each["item"] for each in answer["decisions"]] == ["sofa-1", "lamp-1", "sofa-1"]
    assert len({each["decision_id"] for each in answer["decisions"]}) == 3
    assert {(each["creative"]["width"], each["creative"]["height"]) for each in answer["decisions"]} == {(970, 250)}


def test_an_impression_and_a_click_become_facts_with_the_context_that_was_scored(
    server: ServerProcess, shop_redis: EmbeddedRedis, split: Split
) -> None:
    split.all_to(RANDOM)
    decision = server.decide("ben", "lamp-1", "top")
    pixel = server.get(decision["impression_url"])
    assert (pixel.status, pixel.headers["content-type"], len(pixel.body)) == (200, "image/gif", 43)
    assert "no-store" in pixel.headers["cache-control"]
    click = server.get(decision["click_url"])
    assert (click.status, click.headers["location"]) == (302, "https://shop.example/lamp-1")
    decision_id = uuid.UUID(decision["decision_id"]).bytes

    def found() -> list[dict[str, object]]:
        return [fact for fact in facts_in_log(shop_redis.url) if fact["decision_id"] == decision_id]

    wait_until(lambda: len(found()) == 2, "both facts are in the log")
    impression, clicked = sorted(found(), key=lambda fact: str(fact["kind"]))
    assert (impression["kind"], clicked["kind"]) == (0, 1)
    for fact in (impression, clicked):
        assert fact["context"] == context_of("ben", "lamp-1", "top")
        assert (fact["user"], fact["item"], fact["category"], fact["placement"]) == ("ben", "lamp-1", "lamps", "top")
        assert (fact["arm"], fact["creative"]) == (decision["arm"], decision["creative"]["id"])
        assert (fact["policy"], fact["eligible"]) == (RANDOM, ["oak", "sand", "tile"])
        assert fact["propensity"] == struct.unpack("<f", struct.pack("<f", decision["propensity"]))[0]
        assert fact["schema"] == SCHEMA.hash
        assert fact["decision_ms"] == decision_ms(decision_id)


def test_a_changed_split_is_followed_without_a_restart_and_moves_only_its_users(
    server: ServerProcess, split: Split
) -> None:
    shares = {ORIGINAL: 0.4, RANDOM: 0.2, LINUCB: 0.4}
    split.put(TrafficPolicy(split=shares))
    before = {user: server.decide(user)["policy"] for user in USERS}
    after = split.store.change(lambda policy: replace(policy, split=shares | {ORIGINAL: 0.1, LINUCB: 0.7}))
    expected = {user: after.policy_of(user) for user in USERS}
    wait_until(lambda: {user: server.decide(user)["policy"] for user in USERS} == expected, "the new split is followed")
    assert {(before[user], expected[user]) for user in USERS if before[user] != expected[user]} == {(ORIGINAL, LINUCB)}


def test_packs_are_taken_up_while_serving_and_others_schemas_are_not(
    server: ServerProcess, shop: redis.Redis, split: Split
) -> None:
    split.all_to(LINUCB)
    assert server.decide(item="lamp-1")["flags"] == ["no_pack"]
    put_pack(shop, "lamps", "tile", 1)
    wait_until(lambda: server.decide(item="lamp-1")["flags"] == [], "the pack is served")
    decisions = [server.decide(user, "lamp-1") for user in USERS[:10]]
    assert {each["arm"] for each in decisions} == {"tile"}
    assert {each["propensity"] for each in decisions} == {1.0}
    model = decisions[0]["model"]
    assert (model["lineage"], model["generation"]) == (LINEAGE, 1)
    assert 0 <= model["age_ms"] < 60_000
    put_pack(shop, "lamps", "oak", 2)
    wait_until(lambda: server.decide(item="lamp-1")["arm"] == "oak", "the newer pack is served")
    put_pack(shop, "lamps", "tile", 3, schema_hash="ffffffffffffffff")
    wait_until(lambda: server.decide(item="lamp-1")["flags"] == ["other_schema"], "another schema's pack is not scored")
    assert server.decide(item="lamp-1")["propensity"] == pytest.approx(1 / 3)
    put_pack(shop, "lamps", "oak", 4)
    wait_until(lambda: server.decide(item="lamp-1")["flags"] == [], "the right pack is back")


def test_exploration_and_its_propensities_follow_the_document(
    server: ServerProcess, shop: redis.Redis, split: Split
) -> None:
    put_pack(shop, "sofas", "oak", 1)
    split.all_to(LINUCB, epsilon={"sofas": 0.6})
    wait_until(lambda: server.decide()["propensity"] != pytest.approx(1 / 3), "epsilon is followed")
    drawn = Counter((each["arm"], round(each["propensity"], 6)) for each in (server.decide() for _ in range(120)))
    assert set(drawn) == {("oak", 0.6), ("sand", 0.2), ("tile", 0.2)}
    assert drawn["oak", 0.6] > drawn["sand", 0.2]


def test_alpha_is_each_categorys_own(server: ServerProcess, shop: redis.Redis, split: Split) -> None:
    # Nothing is known of sand: it is tried where exploring counts for enough.
    put_pack(shop, "sofas", "oak", 70)
    put_pack(shop, "lamps", "oak", 70)
    split.all_to(LINUCB, alpha={"lamps": 100.0}, epsilon={"sofas": 0.3})
    wait_until(lambda: server.decide(item="lamp-1")["arm"] == "sand", "lamps explore")
    wait_until(lambda: server.decide()["propensity"] == pytest.approx(0.8), "sofas do not, but for their epsilon")
    assert server.decide(item="lamp-1")["propensity"] == 1.0


def test_paused_and_retired_arms_are_not_chosen_and_original_only_when_included(
    server: ServerProcess, shop: redis.Redis, split: Split
) -> None:
    split.all_to(RANDOM, include_original=True)
    arms = PolicyStore(shop)
    arms.set_arms("lamps", {"oak": ArmStatus("paused"), "sand": ArmStatus("retired")})
    try:
        wait_until(lambda: server.decide(item="lamp-1")["propensity"] == 0.5, "two arms are left")
        assert {server.decide(user, "lamp-1")["arm"] for user in USERS[:40]} == {"original", "tile"}
    finally:
        arms.set_arms("lamps", {"oak": ArmStatus(), "sand": ArmStatus()})
    wait_until(lambda: server.decide(item="lamp-1")["propensity"] == 0.25, "all four are back")


def test_what_is_unknown_or_stale_is_flagged(server: ServerProcess, shop: redis.Redis) -> None:
    assert server.decide("nobody")["request_flags"] == ["cold_user"]
    assert server.decide("ann")["request_flags"] == []
    put_features(shop, "item", "sofa-old", {"category": "sofas", "price": 10.0}, age_ms=TTL_MS + 60_000)
    CreativeIndex(shop).publish("sofa-old", "story", {"oak": CreativeRef("c", "https://cdn.example/c.png", 540, 960)})
    decision = server.decide("ann", "sofa-old")
    assert "stale_features" in decision["flags"]
    assert decision["creative"] is None or decision["creative"]["url"] == "https://cdn.example/c.png"


@pytest.mark.parametrize("policy", [ORIGINAL, RANDOM, LINUCB])
def test_an_item_without_creatives_shows_the_requests_photo(server: ServerProcess, split: Split, policy: str) -> None:
    split.all_to(policy)
    photo = "https://cdn.example/new.jpg"
    decision = server.decide(item="brand-new", category="sofas", image_url=photo)
    assert decision["arm"] == "original"
    assert decision["creative"] == {"id": None, "url": photo, "width": None, "height": None}
    assert decision["flags"] == ([] if policy == ORIGINAL else ["no_creative"])
    assert server.get(decision["impression_url"]).status == 200


def test_an_item_without_creatives_or_photo_has_its_features_photo_or_none(
    server: ServerProcess, shop: redis.Redis, split: Split
) -> None:
    split.all_to(RANDOM)
    put_features(shop, "item", "bare", {"category": "sofas", "price": 10.0})
    decision = server.decide(item="bare")
    assert (decision["arm"], decision["creative"], decision["flags"]) == ("original", None, ["no_creative"])
    put_features(shop, "item", "bare", {"image_url": "https://shop.example/bare.jpg"})
    assert server.decide(item="bare")["creative"]["url"] == "https://shop.example/bare.jpg"


def test_an_unknown_item_among_known_ones_is_flagged_and_can_teach_nothing(
    server: ServerProcess, shop: redis.Redis
) -> None:
    body = {"user": "u-1", "placement": "story", "items": [{"id": "sofa-1"}, {"id": "never-heard-of"}]}
    reply = server.ask("POST", "/v1/decide", json.dumps(body).encode())
    assert reply.status == 200
    known, unknown = json.loads(reply.body)["decisions"]
    assert known["impression_url"] and "unknown_item" not in known["flags"]
    assert (unknown["creative"], unknown["impression_url"], unknown["click_url"]) == (None, "", "")
    assert "unknown_item" in unknown["flags"]


@pytest.mark.parametrize(
    ("requested", "location", "flags"),
    [
        ("https://ads.example/go?x=1", "https://ads.example/go?x=1", []),
        ("https://shop.example/sofa-1", "https://shop.example/sofa-1", []),
        ("https://evil.example/", "https://shop.example/sofa-1", ["landing_refused"]),
        ("https://ads.example.evil.example/", "https://shop.example/sofa-1", ["landing_refused"]),
    ],
)
def test_clicks_lead_only_where_they_may(
    server: ServerProcess, split: Split, requested: str, location: str, flags: list[str]
) -> None:
    split.all_to(ORIGINAL)
    decision = server.decide(url=requested)
    assert decision["flags"] == flags
    assert server.get(decision["click_url"]).headers["location"] == location


def test_a_click_without_a_landing_url_stays_where_it_is(server: ServerProcess) -> None:
    decision = server.decide(item="brand-new", image_url="https://cdn.example/new.jpg")
    click = server.get(decision["click_url"])
    assert (click.status, click.body) == (204, b"")
    assert "location" not in click.headers


def test_an_expired_token_still_serves_but_counts_nothing(server: ServerProcess, shop_redis: EmbeddedRedis) -> None:
    decision = server.decide("ann")
    clock = SystemClock()
    sealer = TokenSealer(load_keyring(server.config.keyring_path), clock)
    payload = sealer.open(decision["click_url"].rpartition("/")[2])
    old = payload._replace(
        decision_id=new_decision_id(clock.now_ms() - server.config.counting_ms - 5),
        landing_url="https://a.example/",
    )
    token = sealer.seal(old)
    assert server.get(f"/v1/i/{token}").status == 200
    assert server.get(f"/v1/c/{token}").headers["location"] == "https://a.example/"
    answer = server.post("/v1/events", {"events": [{"token": token, "kind": "click"}]})
    assert (answer.status, answer.json()) == (202, {"accepted": 0, "events": [{"status": "expired"}]})
    assert b'backdrop_events_total{kind="click",outcome="expired"}' in server.get("/metrics").body
    fresh = server.decide("ann")
    server.post("/v1/events", {"events": [{"token": fresh["click_url"].rpartition("/")[2], "kind": "click"}]})
    ids = {fact["decision_id"] for fact in facts_in_log(shop_redis.url)}
    assert uuid.UUID(fresh["decision_id"]).bytes in ids
    assert old.decision_id not in ids


def test_thousands_of_arms_are_cut_to_what_a_token_holds_and_flagged(
    server: ServerProcess, shop: redis.Redis, split: Split
) -> None:
    split.all_to(RANDOM)
    names = [f"arm-{number:05}" for number in range(3_000)]
    put_features(shop, "item", "sofa-many", {"category": "sofas", "price": 10.0, "url": "https://shop.example/many"})
    # The widest of the ids is not of the first arm.
    refs = {
        arm: CreativeRef("c" * (place % 200), "https://cdn.example/c.png", 540, 960) for place, arm in enumerate(names)
    }
    CreativeIndex(shop).publish("sofa-many", "story", refs)
    sealer = TokenSealer(load_keyring(server.config.keyring_path), SystemClock())
    for url in (None, "https://ads.example/" + "x" * 2_000):
        more = {} if url is None else {"url": url}
        decision = server.decide("ann", "sofa-many", **more)
        assert decision["flags"] == ["arms_cut"]
        payload = sealer.open(decision["click_url"].rpartition("/")[2])
        kept = payload.eligible
        assert list(kept) == names[: len(kept)]
        assert decision["arm"] in kept
        assert decision["propensity"] == pytest.approx(1 / len(kept))
        assert payload.landing_url == (url or "https://shop.example/many")
        # As many as fit, whichever of them had been chosen.
        left = MAX_PAYLOAD_BYTES - len(encode_payload(payload)) + len(payload.creative)
        assert max(len(refs[arm].creative_id) for arm in kept) <= left < 199 + 2 + len(names[0])
    assert b'backdrop_decision_flags_total{flag="arms_cut"}' in server.get("/metrics").body
    # Narrowed to few, none need be cut: the last ones can still be had.
    body = {"user": "ann", "placement": "story", "item": {"id": "sofa-many", "only_arms": names[-5:]}}
    [few] = server.post("/v1/decide", body).json()["decisions"]
    assert (few["flags"], few["arm"] in names[-5:]) == ([], True)
    split.all_to(ORIGINAL)
    assert "arms_cut" not in server.decide("ann", "sofa-many")["flags"]
