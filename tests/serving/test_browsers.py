"""What browsers do by themselves: HEAD, preflights, beacons, and links that lead astray."""

import json
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import SettingsError
from serving.cors import cors_routes
from serving.http import Request, Response, Route
from serving.landing import is_web_url, landing_url
from stores import EmbeddedRedis
from tests.serving.world import ServerProcess, facts_in_log, wait_until

PAGE = "https://shop.example"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
def test_head_is_get_without_the_body(server: ServerProcess, path: str) -> None:
    found, head = server.get(path), server.ask("HEAD", path)
    assert (head.status, head.body) == (found.status, b"")
    assert head.headers["content-type"] == found.headers["content-type"]


def test_looking_at_a_link_counts_nothing(server: ServerProcess, shop_redis: EmbeddedRedis) -> None:
    """Mail scanners and link checkers ask with HEAD."""
    decision = server.decide("head-only")
    for url in (decision["impression_url"], decision["click_url"]):
        path = url.removeprefix(server.config.base_url)
        for method in ("HEAD", "OPTIONS"):
            reply = server.ask(method, path)
            assert (reply.status, reply.headers["allow"]) == (405, "GET")
    server.get(server.decide("marker")["impression_url"])
    wait_until(lambda: "marker" in {fact["user"] for fact in facts_in_log(shop_redis.url)}, "the buffer is written")
    assert "head-only" not in {fact["user"] for fact in facts_in_log(shop_redis.url)}


def test_without_origins_no_script_of_another_page_may_ask(server: ServerProcess) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    for path in ("/v1/events", "/v1/decide"):
        assert server.ask("OPTIONS", path, headers=asked).status == 405
        reply = server.ask("POST", path, b"{}", {"Origin": PAGE})
        assert not any(name.startswith("access-control") for name in reply.headers)


def test_a_beacon_needs_no_permission(server: ServerProcess) -> None:
    """navigator.sendBeacon posts text/plain from any page and never reads the answer."""
    token = server.decide()["impression_url"].rpartition("/")[2]
    body = json.dumps({"events": [{"token": token, "kind": "impression"}]}).encode()
    reply = server.ask("POST", "/v1/events", body, {"Origin": PAGE, "Content-Type": "text/plain;charset=UTF-8"})
    assert (reply.status, reply.json()["accepted"]) == (202, 1)


def test_named_origins_may_post_events_and_nothing_else(shop_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path, shop_redis.url, cors_origins=(PAGE,)) as server:
        asked = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        before = server.ask("OPTIONS", "/v1/events", headers=asked)
        assert (before.status, before.body) == (204, b"")
        assert before.headers["access-control-allow-origin"] == PAGE
        assert before.headers["access-control-allow-methods"] == "POST"
        assert before.headers["access-control-allow-headers"] == "content-type"
        assert server.ask("OPTIONS", "/v1/decide", headers=asked).status == 405
        token = server.decide()["impression_url"].rpartition("/")[2]
        good = json.dumps({"events": [{"token": token, "kind": "click"}]}).encode()
        for body, status in ((good, 202), (b"{}", 400)):
            reply = server.ask("POST", "/v1/events", body, {"Origin": PAGE})
            assert (reply.status, reply.headers["access-control-allow-origin"]) == (status, PAGE)
            assert reply.headers["vary"] == "origin"
        other = server.ask("OPTIONS", "/v1/events", headers=asked | {"Origin": "https://shop.example.evil.example"})
        assert "access-control-allow-origin" not in other.headers
        assert "access-control-allow-credentials" not in before.headers


async def test_any_origin_is_said_plainly() -> None:
    async def handler(_: Request) -> Response:
        return Response(202)

    route, preflight = cors_routes(Route("POST", "/x", "x", handler), ("*",))
    for each in (route, preflight):
        reply = await each.handler(Request("/x", "", b"", [(b"origin", b"https://a.example")], _nothing))
        assert (b"access-control-allow-origin", b"*") in reply.headers


async def _nothing() -> dict[str, object]:
    return {}


@pytest.mark.parametrize(
    "origin", ["shop.example", "https://shop.example/", "https://Shop.example", "null", "", "https://*.x"]
)
def test_what_is_no_origin_is_refused_at_start(origin: str) -> None:
    async def handler(_: Request) -> Response:
        return Response(202)

    with pytest.raises(SettingsError, match="cors_origins"):
        cors_routes(Route("POST", "/x", "x", handler), (origin,))


ASTRAY = [
    "//evil.example/", "///evil.example/", "/\\evil.example", "\\\\evil.example", "https:evil.example",
    "https:/evil.example", "https:///evil.example", "https:\\\\evil.example\\", "hTTps://evil.example/",
    "https://evil.example", "https://evil.example#ads.example", "https://evil.example?ads.example",
    "https://ads.example@evil.example/", "https://ads.example:443@evil.example/", "https://ads.example%40evil.example/",
    "https://ads.example\\@evil.example/", "https://ads.example\\.evil.example/", "https://evil.example\\ads.example",
    "https://ads.example.evil.example/", "https://evilads.example/", "https://ads.example%2eevil.example/",
    "https://ads.example%00.evil.example/", "https://ads.example\x00.evil.example/", "https://ads.example /",
    "https://ads.example\t.evil.example/", "https://ads.example\n.evil.example/", "\thttps://evil.example",
    "https://ads.example./", "https://.ads.example/", "https://ads..example/", "https://ads.example:/@evil.example",
    "https://ads.example:99999/", "https://ads.example:0/", "https://ads.example:-1/", "https://ads.example:80:80/",
    "https://ads.example:80a/", "https://ads。example/", "https://\uff41ds.example/", "https://\u0430ds.example/",
    "https://ads.exampl\u00ad e/", "https://[ads.example]/", "https://[::1]/", "https://[::ffff:7f00:1]/", "https://[::1",
    "https://ads.example[::1]/", "https://[::1]ads.example/", "https://[::1%25eth0]/", "http://2130706433/",
    "http://0x7f.1/", "http://127.1/", "javascript:alert(1)", "JaVaScRiPt:alert(1)//ads.example",
    "data:text/html,<script>1</script>", "vbscript:x", "file:///etc/passwd", "blob:https://ads.example/x",
    "https://ads.example/\r\nSet-Cookie: a=b", "https://ads.example/\r\n\r\n<script>", "https://ads.example/\r\nX: y",
    "https://ads.example/\u2028", "https://ads.example/\u560d\u560aX: y", "https://ads.example/" + "a" * 2048,
]  # fmt: skip


def test_no_click_leads_astray(server: ServerProcess) -> None:
    """Asked to lead elsewhere, a decision refuses the request, or leads to the item's own URL and says so."""
    for url in ASTRAY:
        body = {"user": "ann", "placement": "story", "item": {"id": "sofa-1", "url": url}}
        reply = server.post("/v1/decide", body)
        if reply.status == 400:
            assert reply.json()["error"] == "invalid_url", url
            continue
        (decision,) = reply.json()["decisions"]
        assert "landing_refused" in decision["flags"], url
        click = server.get(decision["click_url"])
        assert (click.status, click.headers["location"]) == (302, "https://shop.example/sofa-1"), url
        assert not {"x", "set-cookie"} & set(click.headers), url


@pytest.mark.parametrize(
    "url",
    [
        "https://ads.example",
        "http://ads.example:8080/a?b#c",
        "https://ADS.example/%0d%0a",
        "https://ads.example/?to=https://evil.example/@x",
    ],
)
def test_what_stays_on_an_allowed_host_is_taken(server: ServerProcess, url: str) -> None:
    decision = server.decide(url=url)
    assert server.get(decision["click_url"]).headers["location"] == url


starts = st.sampled_from(["https://ads.example", "https://ads.example:", "https://", ""])
pieces = st.sampled_from(
    [*"https:// // / \\ @ : ? # [ ] % . evil.example ads.example ::1 443 é 。".split(), " ", "\t", "\r\n"]
)
urls = st.builds(str.__add__, starts, st.lists(pieces, max_size=6).map("".join) | st.text(max_size=30))


@given(urls)
def test_what_is_taken_is_on_the_list_for_another_parser_too(url: str) -> None:
    taken, refused = landing_url(url, "", {"ads.example"})
    if taken:
        assert (taken, refused) == (url, False)
        assert httpx2.URL(taken).host.rstrip(".") == "ads.example"
        assert httpx2.URL(taken).userinfo == b""
    if is_web_url(url):
        assert httpx2.URL(url).scheme in {"http", "https"}
