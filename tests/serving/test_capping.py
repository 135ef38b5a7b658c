import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import redis

from contracts import CLICK, IMPRESSION, RANDOM, Fact, StoreError, TokenPayload, TrafficPolicy, keys, new_decision_id
from serving.capping import Cap, CapWriter
from serving.facts import fact_of
from serving.metrics import Metrics
from stores import AsyncShownStore, EmbeddedRedis, PolicyStore, Shown, connect, connect_async, shown_counts
from stores.connect import command
from stores.impressions import MAX_KEPT
from stores.round_trip import Wire
from tests.serving.world import ServerProcess, fill, wait_until

NOW = 1_700_000_000_000
HOUR_MS = 3_600_000


def shown(user: str, creative: str, at_ms: int, decision_id: bytes | None = None) -> Shown:
    return Shown(user, creative, decision_id or new_decision_id(at_ms), at_ms)


async def reached(url: str, cap: Cap, user: str, now_ms: int) -> frozenset[str]:
    client = connect_async(url, timeout_s=5)
    [reply] = await Wire(client).ask([cap.request(user, now_ms)], "read")
    await client.aclose()
    return cap.reached(reply)


async def test_what_was_shown_often_enough_within_the_window_is_capped(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    client = connect_async(redis_server.url, timeout_s=5)
    store, cap = AsyncShownStore(client), Cap(2, HOUR_MS)
    twice = new_decision_id(NOW)
    await store.add(
        [
            shown("ann ☂", "c1", NOW),
            shown("ann ☂", "c1", NOW + 10),
            # Shown once, though its pixel was fetched three times.
            *[shown("ann ☂", "c2", NOW + n, twice) for n in range(3)],
            shown("ben", "c1", NOW),
        ],
        HOUR_MS,
    )
    assert await reached(redis_server.url, cap, "ann ☂", NOW + 20) == {"c1"}
    assert await reached(redis_server.url, cap, "ben", NOW + 20) == frozenset()
    assert await reached(redis_server.url, cap, "nobody", NOW + 20) == frozenset()
    # One of the two leaves the window: c1 may be shown again.
    assert await reached(redis_server.url, cap, "ann ☂", NOW + HOUR_MS - 1) == {"c1"}
    assert await reached(redis_server.url, cap, "ann ☂", NOW + HOUR_MS) == frozenset()
    assert 0 < command(redis_client, "PTTL", keys.shown("ann ☂")) <= HOUR_MS
    await client.aclose()


async def test_a_users_set_is_bounded_and_keeps_the_newest(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    client = connect_async(redis_server.url, timeout_s=5)
    await AsyncShownStore(client).add([shown("ann", f"c{n}", NOW + n) for n in range(MAX_KEPT + 40)], HOUR_MS)
    kept = shown_counts(command(redis_client, "ZRANGE", keys.shown("ann"), 0, -1))
    assert kept == Counter({f"c{n}": 1 for n in range(40, MAX_KEPT + 40)})
    await client.aclose()


class FlakyStore:
    def __init__(self) -> None:
        self.away = False
        self.taken: list[Shown] = []

    async def add(self, shown: Iterable[Shown], window_ms: int) -> None:
        if self.away:
            message = "away"
            raise StoreError(message)
        self.taken += shown


def a_fact(kind: int = IMPRESSION, creative: str = "c1") -> Fact:
    payload = TokenPayload(
        new_decision_id(NOW), "ann", "i", "c", "oak", creative, "p", RANDOM, ("oak",), 1.0, 0, b"\1\0", "aa", "main", ""
    )
    return fact_of(payload, kind, NOW).fact


async def test_the_writer_keeps_what_the_store_does_not_take_and_is_bounded() -> None:
    store, metrics = FlakyStore(), Metrics()
    writer = CapWriter(Cap(1, HOUR_MS), store, metrics, capacity=3, flush_s=0.001, timeout_s=1)
    task = asyncio.create_task(writer.run())
    store.away = True
    for fact in (a_fact(CLICK), a_fact(creative=""), *(a_fact() for _ in range(5))):
        writer.see(fact)
    await asyncio.sleep(0.05)
    assert store.taken == []
    store.away = False
    assert await writer.flush()
    assert [each.creative for each in store.taken] == ["c1"] * 3
    task.cancel()
    text = metrics.render()
    assert b'backdrop_capping_impressions_total{outcome="overflow"} 2.0' in text
    assert b'backdrop_capping_impressions_total{outcome="written"} 3.0' in text


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as redis_server:
        client = connect(redis_server.url)
        fill(client)
        PolicyStore(client).put(TrafficPolicy(split={RANDOM: 1.0}))
        client.close()
        yield redis_server


def test_creatives_rest_after_so_many_impressions_until_none_is_left(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, cap_impressions=2, append_timeout_ms=300) as server:
        client = connect(own_redis.url)
        seen: Counter[str] = Counter()
        for _ in range(6):
            decision = server.decide("ann", "sofa-1")
            left = [arm for arm in ("oak", "sand", "tile") if seen[arm] < 2]
            assert decision["arm"] in left
            assert decision["propensity"] == pytest.approx(1 / len(left))
            # Fetched twice, shown once; a click does not count.
            for url in ("impression_url", "impression_url", "click_url"):
                server.get(decision[url])
            seen[decision["arm"]] += 1
            wait_until(lambda: command(client, "ZCARD", keys.shown("ann")) == seen.total(), "the cap is written")
        assert seen == {"oak": 2, "sand": 2, "tile": 2}

        capped = server.decide("ann", "sofa-1")
        assert (capped["arm"], capped["propensity"]) == ("original", 1.0)
        assert capped["flags"] == ["no_creative", "capped"]
        assert capped["creative"]["id"] == "sofa-1.story.original"
        # Others, and other pictures, are as they were.
        assert server.decide("ben", "sofa-1")["flags"] == []
        assert server.decide("ann", "sofa-2")["propensity"] == pytest.approx(1 / 3)
        [listed] = server.post(
            "/v1/decide", {"user": "ann", "placement": "story", "item": {"id": "sofa-1"}, "only_arms": ["oak"]}
        ).json()["decisions"]
        assert listed["flags"] == ["no_creative", "capped"]

        own_redis.stop()
        without = server.decide("ann", "sofa-1")
        assert without["request_flags"] == ["redis_unavailable"]
        assert without["arm"] in {"oak", "sand", "tile"}
        own_redis.start()


def test_impressions_told_as_events_count_too(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url, cap_impressions=1) as server:
        decision = server.decide("ann", "sofa-1")
        token = decision["impression_url"].rpartition("/")[2]
        assert server.post("/v1/events", {"events": [{"token": token, "kind": "impression"}]}).status == 202
        wait_until(lambda: server.decide("ann", "sofa-1")["propensity"] == 0.5, "one arm rests")
        assert decision["arm"] not in {server.decide("ann", "sofa-1")["arm"] for _ in range(20)}


def test_without_the_setting_nothing_is_written(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", own_redis.url) as server:
        decision = server.decide("ann", "sofa-1")
        server.get(decision["impression_url"])
        assert server.stop() == 0
    assert command(connect(own_redis.url), "EXISTS", keys.shown("ann")) == 0
