import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from stores import EmbeddedRedis, connect
from tests.browser import needs_browser, page_at
from tests.serving.studio_world import ITEMS, RATES, fill_studio
from tests.serving.world import PLACEMENTS, ServerProcess, fill, wait_until


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose log holds ten minutes of history."""
    folder = tmp_path_factory.mktemp("studio")
    with EmbeddedRedis(folder / "redis") as redis_server:
        client = connect(redis_server.url)
        fill_studio(client, folder / "server" / "objects", facts=6_000)
        client.close()
        with ServerProcess(folder / "server", redis_server.url, studio=True) as process:
            for number in range(60):
                process.decide(f"visitor-{number}", list(ITEMS)[number % len(ITEMS)])
            wait_until(lambda: process.get("/studio/data.json").json()["tiles"]["facts"] > 6_000, "the log is read")
            yield process


def page_of(server: ServerProcess, folder: Path) -> tuple[str, str]:
    """The studio as a browser holds it after a while, and what the browser complained of."""
    return page_at(f"{server.config.base_url}/studio", folder)


def texts(page: str, pattern: str) -> list[str]:
    return [unescape(re.sub(r"<[^>]*>", "", found)) for found in re.findall(pattern, page, re.DOTALL)]


@needs_browser
def test_the_page_shows_policies_creatives_and_decisions(busy: ServerProcess, tmp_path: Path) -> None:
    page, complaints = page_of(busy, tmp_path / "profile")
    assert complaints == ""
    assert texts(page, r'<tr data-key="\w+"><th scope="row">(.*?)</th>') == ["linucb", "random", "original"]
    assert len(re.findall(r'<path class="band (?:linucb|random|original)" d="M', page)) == 3
    assert re.search(r'aria-label="Click-through rate over time. Now: linucb \d', page)
    assert len(re.findall(r'<figure class="arm', page)) == 6 * len(RATES)
    pictures = re.findall(r'<img src="(/media/creatives/[^"]+)"', page)
    assert len(pictures) == 6 * len(RATES)
    assert {busy.get(picture).status for picture in pictures[:12]} == {200}
    assert len(texts(page, r'<li data-key="[0-9a-f-]{36}">(.*?)</li>')) == 50
    assert "segment = minimal" in page
    assert texts(page, r'<span class="chosen">(.*?)</span>')
    assert "no answer" not in page


@needs_browser
def test_an_idle_server_says_what_to_do(shop_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as redis_server:
        client = connect(redis_server.url)
        fill(client)
        client.close()
        with ServerProcess(tmp_path / "server", redis_server.url, studio=True) as idle:
            page, complaints = page_of(idle, tmp_path / "profile")
    assert complaints == ""
    for text in ("Nothing shown yet", "No creatives shown yet", "No decisions yet", "no model yet"):
        assert text in page


def test_data_is_what_the_log_says(busy: ServerProcess) -> None:
    data = busy.get("/studio/data.json?limit=60").json()
    assert data["slot_count"] == len(data["slots"]) == len(ITEMS) * len(PLACEMENTS)
    assert data["categories"] == sorted(set(ITEMS.values()))
    assert sum(slot["shown"] for slot in data["slots"]) == data["tiles"]["shown"]
    assert sum(row["clicked"] for row in data["policies"]) == data["tiles"]["clicked"]
    rates = {row["policy"]: row for row in data["policies"]}
    assert rates["linucb"]["ctr"] > rates["original"]["ctr"]
    for row in data["policies"]:
        assert row["low"] <= row["ctr"] <= row["high"]
    for slot in data["slots"]:
        assert [arm["arm"] for arm in slot["arms"]] == ["original", *sorted(set(RATES) - {"original"})]
        assert sum(arm["share_linucb"] for arm in slot["arms"]) == pytest.approx(1.0)
    scored = next(each for each in data["decisions"] if each["scores"])
    assert scored["arm"] == max(scored["scores"], key=lambda each: each["score"])["arm"]


def test_data_is_filtered(busy: ServerProcess) -> None:
    lamps = busy.get("/studio/data.json?category=lamps&placement=top").json()
    assert [(slot["item"], slot["placement"]) for slot in lamps["slots"]] == [
        ("desk-lamp-brass", "top"),
        ("floor-lamp-arc", "top"),
    ]
    found = busy.get("/studio/data.json?text=WING&limit=1").json()
    assert ([slot["item"] for slot in found["slots"]], found["slot_count"]) == (["armchair-wing"], 2)


@pytest.mark.parametrize("limit", ["0", "61", "-1", "x", "0000019999999", "9" * 5_000, "%C2%B2"])
def test_a_limit_out_of_range_is_refused(busy: ServerProcess, limit: str) -> None:
    reply = busy.get(f"/studio/data.json?limit={limit}")
    assert (reply.status, reply.json()["error"]) == (400, "bad_query")


def test_a_server_without_the_studio_says_so(shop_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", shop_redis.url) as plain:
        reply = plain.get("/studio")
        assert (reply.status, reply.json()["error"]) == (404, "studio_off")
