"""The admin port of a real `backdrop serve` with workers: what the commands do, over HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from contracts import RANDOM, TrafficPolicy
from stores import ArmStatus, EmbeddedRedis, PolicyStore
from tests.backdrop.model_world import learn, tell
from tests.serving.world import PARTITIONS, PLAN, SCHEMA, fill, free_port, wait_until

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-some-length"
MAX_CONNECTIONS = 80


@dataclass
class Served:
    process: "subprocess.Popen[bytes]"
    port: int
    admin_port: int

    def ask(
        self, method: str, path: str, value: object = None, token: str | None = TOKEN, port: int | None = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.admin_port, timeout=20)
        try:
            headers = {} if token is None else {"authorization": f"Bearer {token}"}
            connection.request(method, path, None if value is None else json.dumps(value).encode(), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), {n.lower(): v for n, v in answer.getheaders()}
        finally:
            connection.close()


@pytest.fixture
def served(redis_server: EmbeddedRedis, redis_client: redis.Redis, tmp_path: Path) -> Iterator[Served]:
    fill(redis_client)
    PolicyStore(redis_client).put(TrafficPolicy(split={RANDOM: 1.0}))
    (tmp_path / "features").mkdir()
    (tmp_path / "features/plan.json").write_bytes(PLAN.to_json())
    (tmp_path / "features/context.json").write_bytes(SCHEMA.to_json())
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    port, admin_port = free_port(), free_port()
    environment = {
        "PYTHONPATH": str(ROOT),
        "BACKDROP_HOME": str(tmp_path),
        "BACKDROP_REDIS_URL": redis_server.url,
        "BACKDROP_PARTITIONS": str(PARTITIONS),
        "BACKDROP_SERVE__ADMIN_PORT": str(admin_port),
        "BACKDROP_SERVE__ADMIN_TOKEN_FILE": str(tmp_path / "token"),
        "BACKDROP_SERVE__REDIS_DEADLINE_MS": "500",
        "BACKDROP_SERVE__MAX_CONNECTIONS": str(MAX_CONNECTIONS),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BACKDROP_")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "backdrop", "serve", "--port", str(port), "--workers", "2"],
            cwd=tmp_path,
            env=kept | environment,
            stdout=log,
            stderr=log,
        )
    found = Served(process, port, admin_port)

    def ready() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            return found.ask("GET", "/admin/v1/ready")[0] == 200
        except OSError:
            return False

    try:
        wait_until(ready, "every worker is ready", 60)
        yield found
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert TOKEN not in (tmp_path / "log").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def arm_of(served: Served) -> str:
    body = {"user": "ann", "placement": "story", "item": {"id": "sofa-1"}}
    status, answer, _ = served.ask("POST", "/v1/decide", body, port=served.port)
    assert status == 200
    arm: str = answer["decisions"][0]["arm"]
    return arm


def test_the_admin_port_does_what_the_commands_do(served: Served, redis_client: redis.Redis) -> None:
    for token in (None, "", "wrong", TOKEN + "x", TOKEN[:-1]):
        for path in ("/admin/v1/ready", "/nowhere"):
            status, answer, headers = served.ask("GET", path, token=token)
            assert (status, answer["error"], headers["www-authenticate"]) == (401, "unauthorized", "Bearer")
    # The admin routes are on the admin port only.
    assert served.ask("GET", "/admin/v1/ready", port=served.port)[0] == 404
    assert served.ask("GET", "/v1/decide")[0] == 404

    status, ready, _ = served.ask("GET", "/admin/v1/ready")
    assert (status, ready["ready"], len(ready["workers"])) == (200, True, 2)
    for worker in ready["workers"]:
        assert worker["report"]["reasons"] == [] and worker["heard_ms_ago"] >= 0 and worker["restarts"] == 0
    os.kill(ready["workers"][0]["pid"], signal.SIGKILL)
    wait_until(lambda: served.ask("GET", "/admin/v1/ready")[1]["workers"][0]["restarts"] == 1, "the loss is told")
    wait_until(lambda: served.ask("GET", "/admin/v1/ready")[0] == 200, "all are ready again")

    status, policy, _ = served.ask("GET", "/admin/v1/split")
    assert (status, policy["version"], policy["split"]) == (200, 1, {RANDOM: 1.0})
    wanted = {"version": 1, "split": {"original": 1.0}}
    status, changed, _ = served.ask("PUT", "/admin/v1/split", wanted)
    assert (status, changed["version"], changed["split"]) == (200, 2, {"original": 1.0})
    assert PolicyStore(redis_client).get().split == {"original": 1.0}
    wait_until(lambda: {arm_of(served) for _ in range(8)} == {"original"}, "servers follow")
    # Another operator who read version 1, too, does not overwrite it unseen.
    status, answer, _ = served.ask("PUT", "/admin/v1/split", wanted)
    assert (status, answer["error"]) == (409, "conflict")
    status, answer, _ = served.ask("PUT", "/admin/v1/split", {"version": 2, "split": {"original": 0.5}})
    assert (status, answer["error"]) == (400, "invalid_value")
    assert served.ask("PUT", "/admin/v1/split", {"version": 2, "split": {RANDOM: 1.0}})[0] == 200

    pause = {"category": "sofas", "arm": "oak", "status": "paused"}
    status, answer, _ = served.ask("POST", "/admin/v1/arms", pause)
    assert (status, answer["error"]) == (400, "invalid_value")
    status, answer, _ = served.ask("POST", "/admin/v1/arms", pause | {"new": True})
    assert (status, answer["before"], answer["after"]) == (200, "active", "paused")
    assert PolicyStore(redis_client).arms("sofas") == {"oak": ArmStatus("paused")}
    wait_until(lambda: "oak" not in {arm_of(served) for _ in range(25)}, "servers follow")
    assert served.ask("POST", "/admin/v1/arms", pause | {"status": "active"})[1]["before"] == "paused"
    assert served.ask("POST", "/admin/v1/arms", pause | {"status": "gone"})[:2][1]["error"] == "wrong_type"

    assert served.ask("GET", "/admin/v1/models")[1]["head"] is None
    learn(redis_client, tell(["lamps", "sofas"])[1])
    status, models, _ = served.ask("GET", "/admin/v1/models")
    assert (status, [row["category"] for row in models["rows"]]) == (200, ["lamps", "sofas"])


def test_redis_away_is_an_answer(served: Served, redis_server: EmbeddedRedis) -> None:
    redis_server.stop()
    try:
        for method, path, body in (
            ("GET", "/admin/v1/models", None),
            ("GET", "/admin/v1/split", None),
            ("PUT", "/admin/v1/split", {"version": 1, "split": {"original": 1.0}}),
            ("POST", "/admin/v1/arms", {"category": "sofas", "arm": "oak", "status": "paused", "new": True}),
        ):
            status, answer, headers = served.ask(method, path, body)
            assert (status, answer["error"], headers["retry-after"]) == (503, "unavailable", "1")
    finally:
        redis_server.start()


def test_the_admin_port_bounds_what_a_connection_may_cost(served: Served) -> None:
    def answer_to(sent: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", served.admin_port), timeout=20) as connection:
            connection.sendall(sent)
            return connection.recv(65536)

    # Before anything is asked for a token.
    long = b"GET /admin/v1/ready HTTP/1.1\r\nHost: x\r\n"
    assert answer_to(long + b"x: " + b"a" * 20_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431")
    assert answer_to(long + b"".join(b"x-%d: y\r\n" % n for n in range(101)) + b"\r\n").startswith(b"HTTP/1.1 431")
    assert answer_to(b"GET /" + b"a" * 13_000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 414")
    assert answer_to(b"\x16\x03\x01 no HTTP\r\n\r\n").startswith(b"HTTP/1.1 400")
    silent = [
        socket.create_connection(("127.0.0.1", served.admin_port), timeout=20) for _ in range(MAX_CONNECTIONS + 8)
    ]
    try:
        assert served.ask("GET", "/admin/v1/ready")[0] == 200
        found = counted(served)
        assert found['backdrop_cut_connections_total{reason="no_room"}'] >= 8
        assert found['backdrop_rejected_requests_total{reason="head_too_large"}'] == 1
        assert found['backdrop_rejected_requests_total{reason="too_many_headers"}'] == 1
        assert found['backdrop_rejected_requests_total{reason="url_too_long"}'] == 1
        assert found['backdrop_rejected_requests_total{reason="not_http"}'] == 1
    finally:
        for each in silent:
            each.close()


def counted(served: Served) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", served.admin_port, timeout=20)
    connection.request("GET", "/admin/v1/metrics", None, {"authorization": f"Bearer {TOKEN}"})
    text = connection.getresponse().read().decode()
    connection.close()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}
