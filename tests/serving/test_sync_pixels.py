import re
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from contracts import RANDOM, TrafficPolicy
from stores import EmbeddedRedis, PolicyStore, connect
from stores.connect import command
from tests.serving.world import ServerProcess, facts_in_log, fill, wait_until


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as redis_server:
        client = connect(redis_server.url)
        fill(client)
        PolicyStore(client).put(TrafficPolicy(split={RANDOM: 1.0}))
        client.close()
        yield redis_server


def kinds_in_log(redis_server: EmbeddedRedis, decision: dict[str, str]) -> set[int]:
    number = uuid.UUID(decision["decision_id"]).bytes
    return {fact["kind"] for fact in facts_in_log(redis_server.url) if fact["decision_id"] == number}


def test_pixels_and_clicks_answer_once_the_log_has_their_facts(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, sync_pixels=True, flush_ms=60_000) as server:
        decision = server.decide()
        assert server.get(decision["impression_url"]).status == 200
        assert len(kinds_in_log(own_redis, decision)) == 1
        assert server.get(decision["click_url"]).status == 302
        assert len(kinds_in_log(own_redis, decision)) == 2
        assert server.get("/readyz").json()["buffered_facts"] == 0
        text = server.get("/metrics").body
        assert b'backdrop_events_total{kind="impression",outcome="accepted"} 1.0' in text
        # A process that is killed now has nothing to lose.
        server.process.kill()
        server.process.wait()
    assert len(kinds_in_log(own_redis, decision)) == 2


def test_a_log_that_refuses_defers_the_fact_and_the_page_gets_its_pixel(
    own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, sync_pixels=True, append_timeout_ms=300) as server:
        decision = server.decide()
        client = connect(own_redis.url)
        command(client, "CONFIG", "SET", "maxmemory", "1")
        pixel, click = server.get(decision["impression_url"]), server.get(decision["click_url"])
        assert (pixel.status, len(pixel.body), click.status) == (200, 43, 302)
        assert kinds_in_log(own_redis, decision) == set()
        for kind in ("impression", "click"):
            assert f'events_total{{kind="{kind}",outcome="deferred"}} 1.0'.encode() in server.get("/metrics").body
        command(client, "CONFIG", "SET", "maxmemory", "0")
        wait_until(lambda: len(kinds_in_log(own_redis, decision)) == 2, "the facts arrive")


def test_every_stage_of_a_decision_is_measured(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url) as server:
        for _ in range(3):
            server.decide()
        text = server.get("/metrics").body.decode()
        for stage in ("read", "encode", "choose", "seal", "total"):
            assert f'backdrop_stage_seconds_count{{stage="{stage}"}} 3.0' in text
        bounds = [float(found) for found in re.findall(r'bucket\{le="([0-9.e+-]+)",stage="total"', text)]
        within = [bound for bound in bounds if 0.0001 <= bound <= 0.02]
        # From 0.1 to 20 ms no bucket is wider than its lower bound.
        assert within[0] == 0.0001 and within[-1] == 0.02
        assert all(high <= 2 * low for low, high in pairwise(within))
