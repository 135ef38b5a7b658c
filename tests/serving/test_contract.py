"""What callers may rely on, for any body: well-formed ones are answered, others are told what is wrong."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from contracts import RANDOM, SystemClock, TrafficPolicy, decision_ms, is_decision_id, keys, new_decision_id
from serving import TokenSealer, load_keyring
from stores import EmbeddedRedis, PolicyStore, connect
from stores.connect import command
from tests.serving.in_process import InProcess
from tests.serving.world import ARMS, ITEMS, PLACEMENTS, USERS, facts_in_log, fill, free_port

common = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def contract_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as redis_server:
        client = connect(redis_server.url)
        fill(client)
        PolicyStore(client).put(TrafficPolicy(split={RANDOM: 1.0}))
        client.close()
        yield redis_server


@pytest.fixture(scope="module")
def app(contract_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with InProcess(tmp_path_factory.mktemp("app"), contract_redis.url) as running:
        yield running


@pytest.fixture(scope="module")
def stranded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A server whose Redis is not there."""
    with InProcess(tmp_path_factory.mktemp("stranded"), f"redis://127.0.0.1:{free_port()}/0") as running:
        yield running


word = st.from_regex(r"[\w.~@+-]{1,128}", fullmatch=True).filter(lambda text: text not in {".", ".."})
printable = st.text(st.characters(categories=["L", "M", "N", "P", "S"]) | st.just(" "), min_size=1, max_size=256)
web_urls = st.builds(
    "{}://{}{}/{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["ads.example", "evil.example", "[::1]", "xn--e1afmkfd.example"]),
    st.sampled_from(["", ":1", ":65535"]),
    st.text("aZ9-._~:/?#[]@!$&'()*+,;=%", max_size=300),
)
extras = st.none() | st.integers() | st.text(max_size=5)
unknown = st.dictionaries(st.text(max_size=6).map("x-{}".format), extras, max_size=2)
arms = st.none() | st.lists(st.sampled_from(ARMS) | word, max_size=3)
items = st.builds(
    lambda fixed, some, more: {**more, **fixed, **some},
    st.fixed_dictionaries({"id": st.sampled_from(sorted(ITEMS)) | word}),
    st.fixed_dictionaries(
        {},
        optional={
            "category": st.none() | word,
            "image_url": st.none() | web_urls | st.just("/photos/a.jpg"),
            "url": st.none() | web_urls,
            "only_arms": arms,
            "exclude_arms": arms,
        },
    ),
    unknown,
)
requests = st.builds(
    lambda fixed, asked, more: {**more, **fixed, **asked},
    st.fixed_dictionaries(
        {"user": st.sampled_from(sorted(USERS)) | printable, "placement": st.sampled_from(sorted(PLACEMENTS)) | word}
    ),
    st.one_of(
        st.fixed_dictionaries({"item": items}),
        st.fixed_dictionaries({"items": st.lists(items, min_size=1, max_size=6)}),
        st.fixed_dictionaries({"items": st.lists(items, min_size=1, max_size=2), "item": st.none()}),
    ),
    unknown,
)
KEYS = {"item", "decision_id", "arm", "creative", "propensity", "policy", "impression_url", "click_url", "flags"}


@common
@given(requests)
def test_a_well_formed_request_is_answered(app: InProcess, request_body: dict[str, Any]) -> None:
    reply = app.post("/v1/decide", request_body)
    event(f"status {reply.status}")
    if reply.status == 404:
        assert reply.json()["error"] in {"unknown_item", "unknown_placement"}
        return
    if reply.status == 400:
        # Names of hundreds of letters of several bytes each, beside a long URL, may not fit one token.
        assert reply.json()["error"] == "too_long"
        assert max(len(str(value).encode()) for value in walk(request_body)) > 200
        return
    assert reply.status == 200
    answer = reply.json()
    assert set(answer) == {"decisions", "model", "flags"}
    asked = request_body.get("items") or [request_body["item"]]
    assert [each["item"] for each in answer["decisions"]] == [each["id"] for each in asked]
    ids = [uuid.UUID(each["decision_id"]).bytes for each in answer["decisions"]]
    assert len(set(ids)) == len(ids) and all(is_decision_id(each) for each in ids)
    for decision in answer["decisions"]:
        assert set(decision) == KEYS
        assert 0 < decision["propensity"] <= 1
        assert decision["policy"] == RANDOM
        check_creative(app, decision)


@common
@given(requests)
def test_a_well_formed_request_is_answered_without_redis(stranded: InProcess, request_body: dict[str, Any]) -> None:
    reply = stranded.post("/v1/decide", request_body)
    if reply.status == 400:
        assert reply.json()["error"] == "too_long"
        return
    assert reply.status == 200
    answer = reply.json()
    assert answer["flags"] == ["redis_unavailable", "default_policy"]
    asked = request_body.get("items") or [request_body["item"]]
    photos = [item.get("image_url") for item in asked]
    assert [each["creative"] and each["creative"]["url"] for each in answer["decisions"]] == photos


def walk(value: Any) -> Iterator[object]:
    """All that is not a list or an object inside a JSON value."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)
    if not isinstance(value, dict | list):
        yield value


def check_creative(app: InProcess, decision: Mapping[str, Any]) -> None:
    if decision["creative"] is None:
        assert (decision["impression_url"], decision["click_url"]) == ("", "")
        assert "no_creative" in decision["flags"]
        return
    assert set(decision["creative"]) == {"id", "url", "width", "height"}
    assert decision["impression_url"].startswith(f"{app.config.base_url}/v1/i/")
    assert decision["click_url"].startswith(f"{app.config.base_url}/v1/c/")
    assert decision["arm"] in ARMS


@common
@given(requests, st.data())
def test_what_is_not_well_formed_is_refused(app: InProcess, request_body: dict[str, Any], data: st.DataObject) -> None:
    """One field of a good request is replaced by something that it may not be."""
    wrong: Mapping[str, st.SearchStrategy[Any]] = {
        "user": st.sampled_from([None, 7, "", "a\u0000b", "a\u2028b", "u" * 257, ["u"], {}]),
        "placement": st.sampled_from([None, 7, "", ".", "..", "a b", "a/b", "a\n", "p" * 129, ["p"]]),
        "items": st.sampled_from(["sofa-1", [], [None], [[]], [{}], [{"id": 1}], {"id": "a"}, [{"id": "a"}] * 101]),
        "only_arms": st.sampled_from(["oak", {}, [1], ["a b"], [""], ["a"] * 257]),
        "exclude_arms": st.sampled_from(["oak", {}, [None], ["."], [["oak"]]]),
        "item": st.sampled_from(["sofa-1", [], {}, {"id": None}, {"id": "a", "url": 1}, {"id": "a", "url": "//e"}]),
    }
    field = data.draw(st.sampled_from(sorted(wrong)))
    body = request_body | {field: data.draw(wrong[field])}
    reply = app.post("/v1/decide", body)
    assert reply.status == 400, (field, reply)
    assert set(reply.json()) == {"error", "detail"}


def test_the_same_item_twice_is_decided_twice(app: InProcess) -> None:
    body = {"user": "ann", "placement": "story", "items": [{"id": "sofa-1"}] * 100}
    decisions = app.post("/v1/decide", body).json()["decisions"]
    assert len({each["decision_id"] for each in decisions}) == len({each["click_url"] for each in decisions}) == 100
    # Each is a draw of its own: one in 3^99 times they are all the same.
    assert len({each["arm"] for each in decisions}) > 1


def test_one_item_too_many_is_refused(app: InProcess) -> None:
    body = {"user": "ann", "placement": "story", "items": [{"id": "sofa-1"}] * 101}
    assert app.post("/v1/decide", body).json()["error"] == "wrong_count"


class Tokens:
    """Tokens of this server's own making: of a fresh decision each, or of one made long ago."""

    def __init__(self, app: InProcess) -> None:
        self.app = app
        self.sealer = TokenSealer(load_keyring(app.config.keyring_path), SystemClock())
        body = {"user": "ann", "placement": "story", "item": {"id": "sofa-1"}}
        (decision,) = app.post("/v1/decide", body).json()["decisions"]
        self.payload = self.sealer.open(decision["click_url"].rpartition("/")[2])

    def made(self, age_ms: int) -> tuple[str, bytes]:
        """A token and its decision's id."""
        decision_id = new_decision_id(time.time_ns() // 1_000_000 - age_ms)
        return self.sealer.seal(self.payload._replace(decision_id=decision_id)), decision_id


@pytest.fixture(scope="module")
def tokens(app: InProcess) -> Tokens:
    return Tokens(app)


# What an event may be, and what is to be said of it.
SORTS = ("good", "no_time", "again", "expired", "cut", "altered", "swapped", "empty", "long", "kind", "early", "future")


@common
@given(st.lists(st.tuples(st.sampled_from(SORTS), st.sampled_from(["impression", "click"])), min_size=1, max_size=12))
def test_each_event_of_a_batch_gets_its_own_answer(
    app: InProcess, tokens: Tokens, contract_redis: EmbeddedRedis, plan: list[tuple[str, str]]
) -> None:
    events: list[dict[str, Any]] = []
    expected: list[str] = []
    facts: Counter[tuple[bytes, int]] = Counter()
    taken: list[tuple[str, str, bytes]] = []
    for sort, kind_asked in plan:
        kind = kind_asked
        token, decision_id = tokens.made(app.config.counting_ms + 60_000 if sort == "expired" else 1_000)
        if sort == "again" and taken:
            token, kind, decision_id = taken[-1]
        made_ms = decision_ms(decision_id)
        events.append(broken(sort, token, kind, made_ms, app.config.grace_ms))
        said = STATUS.get(sort, "accepted")
        if said == "accepted":
            code = ("impression", "click").index(kind)
            said = "duplicate_unknown" if facts[decision_id, code] else said
            facts[decision_id, code] += 1
            taken.append((token, kind, decision_id))
        expected.append(said)
    reply = app.post("/v1/events", {"events": events})
    answer = reply.json()
    assert [each["status"] for each in answer["events"]] == expected
    if {"accepted", "expired"} & set(expected):
        assert (reply.status, answer["accepted"]) == (202, expected.count("accepted"))
    else:
        assert (reply.status, answer["error"]) == (400, expected[0])
    # The answer came after the log had them: every one, and nothing of the others.
    ours = {decision_id for decision_id, _ in facts}
    logged = Counter(
        (fact["decision_id"], fact["kind"]) for fact in facts_in_log(contract_redis.url) if fact["decision_id"] in ours
    )
    assert logged == facts


STATUS = {
    "expired": "expired", "cut": "bad_token", "altered": "bad_token", "swapped": "bad_token", "empty": "bad_token",
    "long": "bad_token", "kind": "bad_kind", "early": "bad_time", "future": "bad_time",
}  # fmt: skip


def broken(sort: str, token: str, kind: str, made_ms: int, grace_ms: int) -> dict[str, Any]:
    """An event of a sort."""
    middle = len(token) // 2
    changes: dict[str, dict[str, Any]] = {
        "no_time": {"event_ms": None},
        "cut": {"token": token[:-1]},
        "altered": {"token": token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]},
        "swapped": {"token": token[middle:] + token[:middle]},
        "empty": {"token": ""},
        "long": {"token": token * 20},
        "kind": {"kind": kind.upper()},
        "early": {"event_ms": made_ms - grace_ms - 1},
        "future": {"event_ms": made_ms + 10 * grace_ms},
    }
    return {"token": token, "kind": kind, "event_ms": made_ms + 500} | changes.get(sort, {})


fields = st.sampled_from(["events", "token", "kind", "event_ms"])


@common
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["events", "token", "kind", "event_ms"]), inner)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_body_of_events_is_beyond_the_server(app: InProcess, body: bytes) -> None:
    reply = app.ask("POST", "/v1/events", body)
    assert 400 <= reply.status < 500
    assert set(reply.json()) >= {"error", "detail"}


@pytest.mark.parametrize("event_ms", [-(1 << 80), -1, 0, 1 << 53, 1 << 63, 1 << 80])
def test_no_time_is_beyond_the_server(app: InProcess, tokens: Tokens, event_ms: int) -> None:
    token, _ = tokens.made(1_000)
    reply = app.post("/v1/events", {"events": [{"token": token, "kind": "click", "event_ms": event_ms}]})
    assert (reply.status, reply.json()["error"]) == (400, "bad_time")


def test_a_repeat_with_another_time_is_in_the_log_too(
    app: InProcess, tokens: Tokens, contract_redis: EmbeddedRedis
) -> None:
    """The first may be too late to be attributed and the second not: the learner is to see both."""
    token, decision_id = tokens.made(10_000)
    made_ms = decision_ms(decision_id)
    events = [{"token": token, "kind": "click", "event_ms": made_ms + later} for later in (9_000, 1_000)]
    reply = app.post("/v1/events", {"events": events})
    assert [each["status"] for each in reply.json()["events"]] == ["accepted", "duplicate_unknown"]
    times = [fact["event_ms"] for fact in facts_in_log(contract_redis.url) if fact["decision_id"] == decision_id]
    assert sorted(times) == [made_ms + 1_000, made_ms + 9_000]


def test_a_token_whose_fact_cannot_be_written_is_told_apart_and_the_others_are_taken(
    app: InProcess, tokens: Tokens, contract_redis: EmbeddedRedis
) -> None:
    token, decision_id = tokens.made(1_000)
    # Half a context entry: sealed by us, and nothing that the log's format can hold.
    odd = tokens.sealer.seal(tokens.payload._replace(context=b"\1"))
    events = [{"token": each, "kind": "click"} for each in (odd, token, odd)]
    reply = app.post("/v1/events", {"events": events})
    answer = reply.json()
    assert (reply.status, answer["accepted"]) == (202, 1)
    assert [each["status"] for each in answer["events"]] == ["not_encodable", "accepted", "not_encodable"]
    assert decision_id in {fact["decision_id"] for fact in facts_in_log(contract_redis.url)}
    alone = app.post("/v1/events", {"events": [{"token": odd, "kind": "click"}]})
    assert (alone.status, alone.json()["error"]) == (400, "not_encodable")
    for path, status in ((f"/v1/i/{odd}", 200), (f"/v1/c/{odd}", 302)):
        assert app.ask("GET", path).status == status


def test_events_are_accepted_while_a_partition_refuses_to_be_written(
    app: InProcess, tokens: Tokens, contract_redis: EmbeddedRedis
) -> None:
    client = connect(contract_redis.url)
    command(client, "RENAME", keys.events(0), "aside")
    command(client, "SET", keys.events(0), "no stream")
    try:
        made = [tokens.made(1_000) for _ in range(2 * app.config.partitions)]
        for token, _ in made:
            assert app.post("/v1/events", {"events": [{"token": token, "kind": "click"}]}).status == 202
    finally:
        command(client, "RENAME", "aside", keys.events(0))
        client.close()
    assert {decision_id for _, decision_id in made} <= {
        fact["decision_id"] for fact in facts_in_log(contract_redis.url)
    }
