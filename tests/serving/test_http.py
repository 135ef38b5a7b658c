import asyncio
import io
import json
import socket
import time
import uuid
from collections.abc import MutableMapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from contracts.token import MAX_PAYLOAD_BYTES
from serving.events import PIXEL
from serving.http import Request, RequestError, read_body
from stores import EmbeddedRedis
from tests.serving.world import ServerProcess, facts_in_log

GOOD = {"user": "ann", "placement": "story", "item": {"id": "sofa-1"}}

BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "empty_body"),
    (b"not json", 400, "not_json"),
    (b"{", 400, "not_json"),
    (b"\xff\xfe\x00", 400, "not_json"),
    (b'{"user": "\xc3\x28"}', 400, "not_json"),
    (b"[" * 100_000, 400, "wrong_type"),
    (b"null", 400, "wrong_type"),
    (b"[]", 400, "wrong_type"),
    (b'"text"', 400, "wrong_type"),
    (b"{}", 400, "wrong_type"),
    (json.dumps(GOOD | {"user": 7}).encode(), 400, "wrong_type"),
    (json.dumps(GOOD | {"user": None}).encode(), 400, "wrong_type"),
    (json.dumps(GOOD | {"items": "sofa-1"}).encode(), 400, "wrong_type"),
    (json.dumps(GOOD | {"item": {"id": ["sofa-1"]}}).encode(), 400, "wrong_type"),
    (json.dumps(GOOD | {"item": {"id": "sofa-1", "category": 3}}).encode(), 400, "wrong_type"),
    (json.dumps(GOOD | {"item": None}).encode(), 400, "wrong_count"),
    (json.dumps(GOOD | {"item": None, "items": []}).encode(), 400, "wrong_count"),
    (json.dumps(GOOD | {"item": None, "items": [{"id": "a"}] * 101}).encode(), 400, "wrong_count"),
    (json.dumps(GOOD | {"items": [{"id": "a"}]}).encode(), 400, "wrong_count"),
    (json.dumps(GOOD | {"user": ""}).encode(), 400, "invalid_id"),
    (json.dumps(GOOD | {"user": "u" * 257}).encode(), 400, "invalid_id"),
    (json.dumps(GOOD | {"user": "a\u0000b"}).encode(), 400, "invalid_id"),
    (json.dumps(GOOD | {"placement": "../top"}).encode(), 400, "invalid_id"),
    (json.dumps(GOOD | {"placement": ""}).encode(), 400, "invalid_id"),
    (json.dumps(GOOD | {"item": {"id": "sofa 1"}}).encode(), 400, "invalid_id"),
    (json.dumps(GOOD | {"item": {"id": "x:y"}}).encode(), 400, "invalid_id"),
    (json.dumps(GOOD | {"item": {"id": "."}}).encode(), 400, "invalid_id"),
    (json.dumps(GOOD | {"item": {"id": "i" * 129}}).encode(), 400, "invalid_id"),
    (json.dumps(GOOD | {"item": {"id": "sofa-1", "category": "so{fa}s"}}).encode(), 400, "invalid_id"),
    (json.dumps(GOOD | {"item": {"id": "sofa-1", "url": "javascript:alert(1)"}}).encode(), 400, "invalid_url"),
    (json.dumps(GOOD | {"item": {"id": "sofa-1", "url": "//evil.example"}}).encode(), 400, "invalid_url"),
    (json.dumps(GOOD | {"item": {"id": "sofa-1", "url": "https://a/\r\nX: y"}}).encode(), 400, "invalid_url"),
    (json.dumps(GOOD | {"item": {"id": "sofa-1", "image_url": "data:image/png,x"}}).encode(), 400, "invalid_url"),
    (json.dumps(GOOD | {"item": {"id": "nobody-knows"}}).encode(), 404, "unknown_item"),
    (b"{" + b" " * 1_048_576 + b"}", 413, "body_too_large"),
]  # fmt: skip


def kinds_in_log(url: str, decision: dict[str, str]) -> list[int]:
    """Kinds of the facts on a decision that are in the log now."""
    wanted = uuid.UUID(decision["decision_id"]).bytes
    return sorted(fact["kind"] for fact in facts_in_log(url) if fact["decision_id"] == wanted)


@pytest.mark.parametrize(("body", "status", "reason"), BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_bad_decide_bodies_get_a_reason(server: ServerProcess, body: bytes, status: int, reason: str) -> None:
    reply = server.ask("POST", "/v1/decide", body)
    assert (reply.status, reply.json()["error"]) == (status, reason)
    assert reply.json()["detail"]
    assert f'backdrop_rejected_requests_total{{reason="{reason}"}}'.encode() in server.get("/metrics").body


def test_an_unknown_placement_is_told(server: ServerProcess) -> None:
    reply = server.post("/v1/decide", GOOD | {"placement": "nowhere"})
    assert (reply.status, reply.json()["error"]) == (404, "unknown_placement")
    with_photo = GOOD | {"placement": "nowhere", "item": {"id": "sofa-1", "image_url": "https://a.example/b.jpg"}}
    assert server.post("/v1/decide", with_photo).status == 200


def test_unknown_fields_are_ignored(server: ServerProcess) -> None:
    assert server.post("/v1/decide", GOOD | {"later": {"anything": [1]}}).status == 200


def test_the_longest_names_still_fit_or_are_told(server: ServerProcess) -> None:
    long = {
        "user": "ü" * 256,
        "placement": "ß" * 128,
        "item": {"id": "é" * 128, "image_url": "https://a.example/b.jpg"},
    }
    reply = server.post("/v1/decide", long)
    assert reply.status == 200
    assert server.get(reply.json()["decisions"][0]["impression_url"]).status == 200


@pytest.mark.parametrize("path", ["/v1/i/", "/v1/c/"])
@pytest.mark.parametrize("kind", ["empty", "short", "cut", "altered", "longer", "huge", "wrong alphabet", "percent"])
def test_tokens_that_are_not_ours_teach_nothing(
    server: ServerProcess, shop_redis: EmbeddedRedis, path: str, kind: str
) -> None:
    decision = server.decide()
    token = decision["impression_url"].rpartition("/")[2]
    tried = {
        "empty": "",
        "short": "abc",
        "cut": token[:-3],
        "altered": token[:50] + ("A" if token[50] != "A" else "B") + token[51:],
        "longer": token + "AAAA",
        "huge": "A" * (2 * MAX_PAYLOAD_BYTES),
        "wrong alphabet": token.replace(token[5], "!"),
        "percent": "%00%ff" + token,
    }[kind]
    reply = server.get(path + tried)
    assert (reply.status, reply.json()["error"]) == (400, "bad_token")
    assert kinds_in_log(shop_redis.url, decision) == []


def test_events_are_judged_one_by_one_and_in_the_log_when_accepted(
    server: ServerProcess, shop_redis: EmbeddedRedis
) -> None:
    decision = server.decide()
    token = decision["impression_url"].rpartition("/")[2]
    now_ms = time.time_ns() // 1_000_000
    events = [
        {"token": token, "kind": "impression"},
        {"token": token, "kind": "click", "event_ms": now_ms},
        {"token": token[:-1], "kind": "click"},
        {"token": token, "kind": "purchase"},
        {"token": token, "kind": "click", "event_ms": now_ms + 10 * server.config.grace_ms},
        {"token": token, "kind": "click", "event_ms": 0},
    ]
    reply = server.post("/v1/events", {"events": events})
    assert reply.status == 202
    assert [event["status"] for event in reply.json()["events"]] == [
        "accepted", "accepted", "bad_token", "bad_kind", "bad_time", "bad_time",
    ]  # fmt: skip
    assert reply.json()["accepted"] == 2
    assert kinds_in_log(shop_redis.url, decision) == [0, 1]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "empty_body"),
        (b"[]", 400, "wrong_type"),
        (b'{"events": []}', 400, "wrong_count"),
        (b'{"events": [{"token": "abc", "kind": "click"}]}', 400, "bad_token"),
        (b'{"events": [{"token": "abc", "kind": "sale"}]}', 400, "bad_kind"),
        (b'{"events": [{"token": "abc", "kind": "click", "event_ms": "soon"}]}', 400, "wrong_type"),
        (b'{"events": [{"token": 5, "kind": "click"}]}', 400, "wrong_type"),
        (json.dumps({"events": [{"token": "a", "kind": "click"}] * 1001}).encode(), 400, "wrong_count"),
    ],
)
def test_bad_event_bodies_get_a_reason(server: ServerProcess, body: bytes, status: int, reason: str) -> None:
    reply = server.ask("POST", "/v1/events", body)
    assert (reply.status, reply.json()["error"]) == (status, reason)


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v2/decide", 404, "not_found"),
        ("GET", "/v1/decide", 405, "wrong_method"),
        ("POST", "/v1/i/abc", 405, "wrong_method"),
        ("HEAD", "/v1/c/abc", 405, None),
        ("DELETE", "/v1/events", 405, "wrong_method"),
        ("GET", "/v1/decide/", 404, "not_found"),
        ("GET", "/studio/data.json?limit=x", 400, "bad_query"),
        ("GET", "/studio/data.json?limit=9999", 400, "bad_query"),
        ("GET", "/media/../keys.json", 404, "no_such_picture"),
    ],
)
def test_wrong_paths_and_methods(
    server: ServerProcess, method: str, path: str, status: int, reason: str | None
) -> None:
    reply = server.ask(method, path)
    assert reply.status == status
    if reason:
        assert reply.json()["error"] == reason
    if status == 405:
        assert reply.headers["allow"]


def test_media_serves_pictures_and_nothing_else(server: ServerProcess) -> None:
    root = server.config.objects_root
    assert root is not None
    (root / "creatives" / "ab").mkdir(parents=True, exist_ok=True)
    (root / "archive").mkdir(exist_ok=True)
    (root / "creatives" / "ab" / "abc.png").write_bytes(b"picture")
    (root / "creatives" / "ab" / "abc.json").write_bytes(b"secret")
    (root / "archive" / "events.png").write_bytes(b"secret")
    (root / "creatives" / "link.png").symlink_to(Path("/etc/hostname"))
    found = server.get("/media/creatives/ab/abc.png")
    assert (found.status, found.body, found.headers["content-type"]) == (200, b"picture", "image/png")
    assert "immutable" in found.headers["cache-control"]
    again = server.ask("GET", "/media/creatives/ab/abc.png", headers={"If-None-Match": found.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    for path in (
        "creatives/ab/abc.json", "archive/events.png", "creatives/../archive/events.png", "creatives/link.png",
        "creatives/%2e%2e/archive/events.png", "creatives/none.png", "creatives/ab", "creatives/ab/.png", "%00.png",
        "/etc/hostname.png",
    ):  # fmt: skip
        assert server.get(f"/media/{path}").status == 404, path


def test_health_readiness_and_metrics(server: ServerProcess) -> None:
    assert server.get("/healthz").json() == {"status": "ok"}
    ready = server.get("/readyz")
    assert (ready.status, ready.json()["ready"], ready.json()["reasons"]) == (200, True, [])
    text = server.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    for name in (b"backdrop_requests_total", b"backdrop_stage_seconds_bucket", b"backdrop_clock_skew_ms"):
        assert name in text.body


def test_every_answer_forbids_sniffing_and_decisions_are_not_cached(server: ServerProcess) -> None:
    replies = [server.post("/v1/decide", GOOD), server.get("/studio"), server.get("/nothing"), server.get("/readyz")]
    assert {reply.headers["x-content-type-options"] for reply in replies} == {"nosniff"}
    assert replies[0].headers["cache-control"] == "no-store"
    assert "default-src 'none'" in replies[1].headers["content-security-policy"]
    assert all("server" not in reply.headers for reply in replies)


def test_the_pixel_is_a_picture() -> None:
    assert len(PIXEL) == 43
    with Image.open(io.BytesIO(PIXEL)) as picture:
        assert picture.size == (1, 1)
        assert picture.convert("RGBA").getchannel("A").getextrema() == (0, 0)


def test_bodies_may_come_in_pieces_but_not_without_end(server: ServerProcess) -> None:
    body = json.dumps(GOOD).encode()
    head = b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with socket.create_connection((server.config.host, server.config.port), timeout=20) as connection:
        connection.sendall(head)
        for at in range(0, len(body), 7):
            piece = body[at : at + 7]
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    with socket.create_connection((server.config.host, server.config.port), timeout=20) as connection:
        connection.sendall(head)
        for size in (*[16384] * (server.config.body_limit_bytes // 16384), 1):
            connection.sendall(b"%x\r\n%b\r\n" % (size, b" " * size))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


async def test_a_body_that_never_comes_is_not_waited_for() -> None:
    async def silent() -> MutableMapping[str, object]:
        await asyncio.Event().wait()
        return {}

    with pytest.raises(RequestError) as refused:
        await read_body(Request("/", "", b"", [(b"content-length", b"9")], silent), limit_bytes=99, timeout_ms=20)
    assert (refused.value.status, refused.value.reason) == (408, "slow_body")


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
names = st.sampled_from(["user", "placement", "items", "item", "id"])
documents = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | documents.map(lambda value: json.dumps(value).encode()))
def test_no_body_breaks_the_server(server: ServerProcess, body: bytes) -> None:
    for path in ("/v1/decide", "/v1/events"):
        reply = server.ask("POST", path, body)
        assert 400 <= reply.status < 500
        assert set(reply.json()) >= {"error", "detail"}
