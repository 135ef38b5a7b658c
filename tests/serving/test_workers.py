import base64
import http.client
import json
import os
import re
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts import RANDOM, SystemClock, TrafficPolicy
from serving import revoke_keys, rotate_keyring
from serving.keyring import SETTLE_MS
from stores import EmbeddedRedis, PolicyStore, connect
from tests.serving.world import ServerProcess, facts_in_log, fill, put_pack, wait_until


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as redis_server:
        client = connect(redis_server.url)
        fill(client)
        PolicyStore(client).put(TrafficPolicy(split={RANDOM: 1.0}))
        client.close()
        yield redis_server


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


def metric(server: ServerProcess, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} ([0-9.e+]+)$", server.get("/metrics").body.decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def shown_in_log(redis_server: EmbeddedRedis) -> set[bytes]:
    return {fact["decision_id"] for fact in facts_in_log(redis_server.url)}


def number_of(decision: dict[str, str]) -> bytes:
    return uuid.UUID(decision["decision_id"]).bytes


def key_of(decision: dict[str, str]) -> int:
    token = decision["impression_url"].rpartition("/")[2]
    return base64.urlsafe_b64decode(token[:4])[0]


class Shopper(threading.Thread):
    """Asks, sees and clicks until told to stop; keeps what came back."""

    def __init__(self, server: ServerProcess) -> None:
        super().__init__()
        self.server = server
        self.ending = threading.Event()
        self.statuses: Counter[int] = Counter()
        self.broken: list[str] = []
        self.key_ids: set[int] = set()

    def run(self) -> None:
        body = {"user": "ann", "placement": "story", "item": {"id": "sofa-1"}}
        while not self.ending.is_set():
            try:
                reply = self.server.post("/v1/decide", body)
                decision = reply.json()["decisions"][0]
                pixel, click = self.server.get(decision["impression_url"]), self.server.get(decision["click_url"])
            except ConnectionRefusedError:
                self.broken.append("refused")
            except (OSError, http.client.HTTPException) as error:
                self.broken.append(type(error).__name__)
            else:
                self.statuses.update((reply.status, pixel.status, click.status))
                self.key_ids.add(key_of(decision))

    def stop(self) -> None:
        self.ending.set()
        self.join()


def shopping(server: ServerProcess, count: int) -> list[Shopper]:
    shoppers = [Shopper(server) for _ in range(count)]
    for shopper in shoppers:
        shopper.start()
    return shoppers


def test_several_processes_serve_one_port_and_their_metrics_add_up(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    put_pack(connect(own_redis.url), "sofas", "oak", 7)
    with ServerProcess(tmp_path / "server", own_redis.url, workers=3) as server:
        assert len(children(server.process.pid)) == 3
        wait_until(lambda: metric(server, 'backdrop_pack_generation{category="sofas"}') == 7, "packs are served")
        for _ in range(60):
            server.decide()
        # Whoever is asked, the answer is of all of them together.
        assert {metric(server, 'backdrop_requests_total{route="decide",status="200"}') for _ in range(5)} == {60}
        assert metric(server, f'backdrop_decisions_total{{policy="{RANDOM}"}}') == 60
        assert metric(server, 'backdrop_stage_seconds_count{stage="total"}') == 60
        assert metric(server, 'backdrop_stage_seconds_bucket{le="+Inf",stage="total"}') == 60
        assert metric(server, "backdrop_buffered_facts") == 0
        workers = children(server.process.pid)
        assert server.stop() == 0
        assert all(is_gone(pid) for pid in workers)


def test_a_killed_worker_comes_back_and_nobody_is_refused(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, workers=2) as server:
        shoppers, restarts = shopping(server, 3), list[int]()
        for round_ in range(1, 3):
            time.sleep(0.3)
            before = children(server.process.pid)
            asked = metric(server, 'backdrop_requests_total{route="decide",status="200"}')
            os.kill(before[0], signal.SIGKILL)
            restarts.append(round_)
            wait_until(lambda: metric(server, "backdrop_worker_restarts_total") == len(restarts), "another one serves")
            assert len(set(children(server.process.pid)) - set(before)) == 1
            # What the dead one had counted is not forgotten.
            assert metric(server, 'backdrop_requests_total{route="decide",status="200"}') >= asked
        for shopper in shoppers:
            shopper.stop()
        broken = [each for shopper in shoppers for each in shopper.broken]
        # Each shopper has one request under way: a kill breaks at most that.
        assert len(broken) <= 2 * len(shoppers)
        assert "refused" not in broken
        assert set().union(*(shopper.statuses for shopper in shoppers)) == {200, 302}


def test_sigterm_writes_every_workers_buffer_out(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, workers=2, flush_ms=60_000, flush_facts=10_000) as server:
        decisions = [server.decide() for _ in range(40)]
        shown = {number_of(each) for each in decisions if server.get(each["impression_url"]).status == 200}
        assert len(shown) == 40
        assert shown_in_log(own_redis) == set()
        workers = children(server.process.pid)
        assert server.stop() == 0
        assert all(is_gone(pid) for pid in workers)
    assert shown_in_log(own_redis) == shown


def test_workers_end_in_order_when_their_parent_is_killed(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, workers=2, flush_ms=60_000, flush_facts=10_000) as server:
        decision = server.decide()
        server.get(decision["impression_url"])
        workers = children(server.process.pid)
        server.process.kill()
        wait_until(lambda: all(is_gone(pid) for pid in workers), "the workers have ended")
    assert shown_in_log(own_redis) == {number_of(decision)}


def test_a_killed_process_loses_its_buffer_and_no_more(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, flush_ms=60_000, flush_facts=10) as server:
        decisions = [server.decide() for _ in range(34)]
        for each in decisions:
            server.get(each["impression_url"])
        wait_until(lambda: server.get("/readyz").json()["buffered_facts"] < 10, "full batches are in the log")
        waiting = server.get("/readyz").json()["buffered_facts"]
        assert waiting > 0
        server.process.kill()
        server.process.wait()
    assert len(shown_in_log(own_redis)) == 34 - waiting


def test_a_worker_that_cannot_start_ends_it_all_with_one_sentence(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server", own_redis.url, workers=2)
    (tmp_path / "server" / "plan.json").write_text("{")
    server.launch()
    assert server.process.wait(30) != 0
    assert re.search(r"worker \d ended with status 1 before it served", server.log_path.read_text())
    with pytest.raises(OSError):
        server.get("/healthz")


def test_readiness_says_that_the_server_is_about_to_end(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, workers=2, drain_notice_ms=2_000) as server:
        assert server.get("/readyz").json()["reasons"] == []
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.get("/readyz").status == 503, "it says so")
        said: set[str] = set()
        for _ in range(10):
            ready = server.get("/readyz")
            said |= set(ready.json()["reasons"])
            # Requests are still answered, by whichever worker takes them.
            assert server.decide()["request_flags"] == []
        assert said == {"draining"}
        assert server.process.wait(20) == 0


def test_keys_are_rotated_under_load_on_every_worker(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, workers=2) as server:
        early = server.decide()
        shoppers = shopping(server, 2)
        rotate_keyring(server.config.keyring_path, SystemClock().now_ms())
        try:
            wait_until(
                lambda: all(len(shopper.key_ids) == 2 for shopper in shoppers),
                "the new key seals",
                SETTLE_MS / 1000 + 20,
            )
            wait_until(
                lambda: key_of(early) not in {key_of(server.decide()) for _ in range(20)},
                "no worker seals with the old one",
            )
        finally:
            for shopper in shoppers:
                shopper.stop()
        # No token was refused at any moment: neither the old keys' nor the new one's.
        assert set().union(*(shopper.statuses for shopper in shoppers)) == {200, 302}
        assert [each for shopper in shoppers for each in shopper.broken] == []
        assert server.get(early["click_url"]).status == 302
        body: dict[str, Any] = {"events": [{"token": early["click_url"].rpartition("/")[2], "kind": "click"}]}
        assert server.ask("POST", "/v1/events", json.dumps(body).encode()).status == 202


def test_a_revoked_keys_tokens_end_on_every_worker_and_decisions_go_on(
    own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, workers=2) as server:
        leaked = server.decide()
        assert server.get(leaked["impression_url"]).status == 200
        revoke_keys(server.config.keyring_path, [key_of(leaked)], SystemClock().now_ms())
        # Each request is a connection of its own: either worker may take it.
        wait_until(
            lambda: {server.get(leaked["click_url"]).status for _ in range(20)} == {400}, "no worker opens its tokens"
        )
        refused = server.get(leaked["click_url"])
        assert (refused.json()["error"], "location" in refused.headers) == ("bad_token", False)
        body = {"events": [{"token": leaked["click_url"].rpartition("/")[2], "kind": "click"}]}
        assert server.post("/v1/events", body).json()["error"] == "bad_token"
        assert metric(server, 'backdrop_events_total{kind="click",outcome="revoked_key"}') == 1
        assert metric(server, 'backdrop_events_total{kind="unknown",outcome="revoked_key"}') >= 20
        for fresh in (server.decide() for _ in range(10)):
            assert key_of(fresh) != key_of(leaked)
            assert server.get(fresh["click_url"]).status == 302


def test_a_worker_that_hangs_is_killed_and_replaced_while_the_other_serves(
    own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, workers=2, hung_after_ms=2_000) as server:
        workers = set(children(server.process.pid))
        hung = min(workers)

        def is_killed_once_stopped() -> bool:
            os.kill(hung, signal.SIGSTOP)
            for _ in range(50):
                if is_gone(hung):
                    return True
                time.sleep(0.1)
            # It had not told of itself yet: one that never did is still starting.
            os.kill(hung, signal.SIGCONT)
            time.sleep(1)
            return False

        wait_until(is_killed_once_stopped, "it is killed", 60)
        wait_until(lambda: metric(server, "backdrop_hung_workers_total") == 1, "it is counted")
        assert metric(server, "backdrop_worker_restarts_total") == 1
        assert "worker_hung" in server.log_path.read_text()
        after = set(children(server.process.pid))
        assert len(after) == 2 and workers - after == {hung}
        assert server.decide()["request_flags"] == []


def test_where_all_stood_still_nobody_hung(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, workers=2, hung_after_ms=2_000) as server:
        workers = children(server.process.pid)
        time.sleep(1)
        everyone = [server.process.pid, *workers]
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3)
        # The supervisor first, as it may be where a machine wakes up: it finds nothing in the pipes.
        for pid in everyone:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.3)
        time.sleep(1)
        assert children(server.process.pid) == workers
        assert server.decide()["request_flags"] == []
