import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts import RANDOM, TrafficPolicy
from serving import create_app
from stores import EmbeddedRedis, PolicyStore, connect
from tests.serving.world import ServerProcess, fill


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as redis_server:
        client = connect(redis_server.url)
        fill(client)
        PolicyStore(client).put(TrafficPolicy(split={RANDOM: 1.0}))
        client.close()
        yield redis_server


async def call(app: Any, method: str, path: str) -> int:
    """One request to an application without a server."""
    sent: list[Any] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"token=secret", "headers": []}
    await app(scope, receive, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize(("every", "lines"), [(0, 0), (1, 12), (5, 2)])
async def test_one_request_in_so_many_is_logged(tmp_path: Path, every: int, lines: int) -> None:
    app = create_app(ServerProcess(tmp_path, "redis://127.0.0.1:1", access_log_every=every).config)
    with capture_logs() as logs:
        for _ in range(12):
            assert await call(app, "GET", "/v1/c/AQsecret") == 503
    found = [entry for entry in logs if entry["event"] == "request"]
    assert len(found) == lines
    for entry in found:
        assert (entry["method"], entry["route"], entry["status"]) == ("GET", "none", 503)
        assert entry["bytes"] > 0 and entry["ms"] >= 0


def test_lines_are_json_and_hold_no_user_and_no_token(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    # Two workers: those configure logging as the command line does.
    with ServerProcess(tmp_path / "server", own_redis.url, workers=2, access_log_every=1) as server:
        decision = server.decide("ann-the-user")
        assert server.get(decision["impression_url"]).status == 200
        assert server.get(decision["click_url"]).status == 302
        assert server.get("/nowhere/ann-the-user").status == 404
        assert server.stop() == 0
        text = server.log_path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    requests = [line for line in lines if line["event"] == "request" and line["route"] != "healthz"]
    assert [(line["method"], line["route"], line["status"]) for line in requests] == [
        ("POST", "decide", 200),
        ("GET", "impression", 200),
        ("GET", "click", 302),
        ("GET", "none", 404),
    ]
    assert [line["bytes"] for line in requests][1:3] == [43, 0]
    token = decision["impression_url"].rpartition("/")[2]
    assert "ann-the-user" not in text
    assert not re.search(re.escape(token[:40]), text)
