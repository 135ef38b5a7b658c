import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts import RANDOM, TrafficPolicy
from stores import EmbeddedRedis, PolicyStore, connect
from tests.serving.world import ROOT, Reply, ServerProcess, facts_in_log, fill, free_port, put_pack, wait_until


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that a test may stop."""
    with EmbeddedRedis(tmp_path / "redis") as redis_server:
        client = connect(redis_server.url)
        fill(client)
        PolicyStore(client).put(TrafficPolicy(split={RANDOM: 1.0}))
        client.close()
        yield redis_server


def token_of(decision: dict[str, str]) -> str:
    return decision["impression_url"].rpartition("/")[2]


def shown_in_log(redis_server: EmbeddedRedis) -> set[bytes]:
    return {fact["decision_id"] for fact in facts_in_log(redis_server.url)}


def test_redis_stops_and_comes_back(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, append_timeout_ms=500) as server:
        before = server.decide("ann", "sofa-1")
        assert before["request_flags"] == []
        own_redis.stop()

        without = server.decide("ann", "sofa-1")
        assert without["request_flags"] == ["redis_unavailable"]
        assert without["flags"] == ["remembered_creatives"]
        assert without["arm"] in {"oak", "sand", "tile"}
        assert without["propensity"] == pytest.approx(1 / 3)
        assert without["creative"]["url"].endswith(f"{without['arm']}.png")
        never_seen = server.decide("ann", "lamp-1", image_url="https://cdn.example/lamp.jpg")
        assert never_seen["creative"]["url"] == "https://cdn.example/lamp.jpg"
        assert server.decide("ann", "lamp-1")["creative"] is None

        assert server.get(before["impression_url"]).status == 200
        assert server.get(before["click_url"]).headers["location"] == "https://shop.example/sofa-1"
        assert server.get(without["impression_url"]).status == 200
        refused = server.post("/v1/events", {"events": [{"token": token_of(before), "kind": "click"}]})
        assert (refused.status, refused.json()["error"], refused.headers["retry-after"]) == (
            503,
            "log_unavailable",
            "1",
        )
        wait_until(lambda: "policy_refresh_failing" in server.get("/readyz").json()["degraded"], "readiness tells it")
        assert server.get("/readyz").status == 200
        assert server.get("/readyz").json()["buffered_facts"] == 3

        own_redis.start()
        wait_until(lambda: server.decide("ann", "sofa-1")["request_flags"] == [], "features are back")
        wait_until(lambda: server.get("/readyz").json()["buffered_facts"] == 0, "the buffer is empty")
        expected = {uuid.UUID(decision["decision_id"]).bytes for decision in (before, without)}
        assert shown_in_log(own_redis) == expected
        accepted = server.post("/v1/events", {"events": [{"token": token_of(never_seen), "kind": "impression"}]})
        assert accepted.status == 202
        assert shown_in_log(own_redis) == expected | {uuid.UUID(never_seen["decision_id"]).bytes}


def test_a_redis_that_hangs_costs_the_deadline_not_the_answer(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, read_deadline_ms=50, append_timeout_ms=300) as server:
        decision = server.decide("ann", "sofa-1")
        assert own_redis.pid is not None
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            for _ in range(5):
                assert server.decide("ann", "sofa-1")["request_flags"] == ["redis_unavailable"]
            assert server.get(decision["impression_url"]).status == 200
            refused = server.post("/v1/events", {"events": [{"token": token_of(decision), "kind": "click"}]})
            assert refused.status == 503
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        wait_until(lambda: server.decide("ann", "sofa-1")["request_flags"] == [], "features are back")
        wait_until(lambda: uuid.UUID(decision["decision_id"]).bytes in shown_in_log(own_redis), "the fact arrives")
        # A connection given up in the middle of an answer must not hand that answer to the next request.
        for item in ("sofa-1", "lamp-1") * 10:
            assert server.decide("ann", item)["creative"]["id"].startswith(item)


def test_a_server_starts_without_redis_and_finds_it_later(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with ServerProcess(tmp_path / "server", url, append_timeout_ms=300) as server:
        decision = server.decide("ann", "sofa-1", image_url="https://cdn.example/sofa.jpg")
        assert decision["request_flags"] == ["redis_unavailable", "default_policy"]
        assert server.get(decision["impression_url"]).status == 200
        ready = server.get("/readyz")
        never = ["policy_never_loaded", "packs_never_loaded", "clock_never_compared"]
        assert (ready.status, ready.json()["reasons"]) == (503, never)
        with EmbeddedRedis(tmp_path / "redis", port=port) as redis_server:
            fill(connect(redis_server.url))
            put_pack(connect(redis_server.url), "sofas", "oak", 1)
            wait_until(
                lambda: server.get("/readyz").json()["reasons"] == ["clock_never_compared"], "the policy is read"
            )
            wait_until(lambda: server.get("/readyz").json()["packs"] == {"sofas": 1}, "the pack is read")
            wait_until(lambda: server.decide("ann", "sofa-1")["request_flags"] == [], "features are read")
            wait_until(lambda: uuid.UUID(decision["decision_id"]).bytes in shown_in_log(redis_server), "facts arrive")


def test_load_through_restarts_never_fails_and_loses_nothing(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, read_deadline_ms=100, append_timeout_ms=500) as server:
        shown: list[bytes] = []
        statuses: list[int] = []
        ending = threading.Event()

        def shop() -> None:
            while not ending.is_set():
                reply: Reply = server.post(
                    "/v1/decide", {"user": "ann", "placement": "story", "item": {"id": "sofa-1"}}
                )
                decision = reply.json()["decisions"][0]
                pixel = server.get(decision["impression_url"])
                click = server.get(decision["click_url"])
                statuses.extend((reply.status, pixel.status, click.status))
                shown.append(uuid.UUID(decision["decision_id"]).bytes)

        shoppers = [threading.Thread(target=shop) for _ in range(3)]
        for shopper in shoppers:
            shopper.start()
        for _ in range(3):
            time.sleep(0.4)
            own_redis.restart()
        ending.set()
        for shopper in shoppers:
            shopper.join()
        assert set(statuses) == {200, 302}
        wait_until(lambda: server.get("/readyz").json()["buffered_facts"] == 0, "the buffer is empty")
        assert shown_in_log(own_redis) == set(shown)


def test_ending_writes_the_buffer_out(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, flush_ms=60_000, flush_facts=10_000) as server:
        decisions = [server.decide("ann", "sofa-1") for _ in range(5)]
        for decision in decisions:
            server.get(decision["impression_url"])
        assert server.get("/readyz").json()["buffered_facts"] == 5
        assert shown_in_log(own_redis) == set()
        assert server.stop() == 0
    assert shown_in_log(own_redis) == {uuid.UUID(decision["decision_id"]).bytes for decision in decisions}


def test_an_overflowing_buffer_is_told_and_counted(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, buffer_facts=3, append_timeout_ms=300) as server:
        decision = server.decide("ann", "sofa-1")
        own_redis.stop()
        for _ in range(5):
            assert server.get(decision["impression_url"]).status == 200
        ready = server.get("/readyz")
        assert (ready.status, ready.json()["reasons"]) == (503, ["event_buffer_full"])
        assert b'backdrop_dropped_facts_total{reason="buffer_overflow"} 2.0' in server.get("/metrics").body
        own_redis.start()


def test_a_taken_port_is_one_clear_sentence(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url) as server:
        second = ServerProcess(tmp_path / "second", own_redis.url, port=server.config.port)
        second.launch()
        assert second.process.wait(30) != 0
        assert f"cannot listen on 127.0.0.1:{server.config.port}" in second.log_path.read_text()


def test_a_missing_plan_is_one_clear_sentence(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from serving import ServerConfig, create_app; f = Path(sys.argv[1])\n"
        "create_app(ServerConfig('redis://127.0.0.1:1', f / 'plan.json', f / 's.json', f / 'k.json'))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert "SettingsError" in ended.stderr.splitlines()[-1]
    assert "compile the read plan first" in ended.stderr.splitlines()[-1]
