"""One suite for both clients, against a real server."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest

from serving.client import (
    AsyncClient,
    BusyError,
    Client,
    DecideOut,
    DecisionOut,
    EventIn,
    EventsOut,
    ItemIn,
    RefusedError,
    UnreachableError,
    ad_html,
    click,
    impression,
)
from stores import EmbeddedRedis, connect
from tests.serving.world import ServerProcess, facts_in_log, fill, free_port, wait_until
from tests.test_imports import loaded_by


class AnyClient(Protocol):
    """What both offer; in tests the asynchronous one is waited for."""

    def decide(self, user: str, placement: str, items: Sequence[str | ItemIn], **arms: Any) -> DecideOut: ...
    def decide_one(self, user: str, placement: str, item: str | ItemIn) -> DecisionOut: ...
    def send(self, events: Sequence[EventIn]) -> EventsOut: ...
    def close(self) -> None: ...


class Waited:
    """An AsyncClient, its answers waited for in a loop of its own."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.loop = asyncio.Runner()
        self.client = AsyncClient(*arguments, **more)

    def decide(self, user: str, placement: str, items: Sequence[str | ItemIn], **arms: Any) -> DecideOut:
        return self.loop.run(self.client.decide(user, placement, items, **arms))

    def decide_one(self, user: str, placement: str, item: str | ItemIn) -> DecisionOut:
        return self.loop.run(self.client.decide_one(user, placement, item))

    def send(self, events: Sequence[EventIn]) -> EventsOut:
        return self.loop.run(self.client.send(events))

    def close(self) -> None:
        self.loop.run(self.client.close())
        self.loop.close()


Make = Callable[..., AnyClient]


@pytest.fixture(params=[Client, Waited], ids=["sync", "async"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[AnyClient] = []

    def client(*arguments: Any, **more: Any) -> AnyClient:
        made.append(request.param(*arguments, **more))
        return made[-1]

    yield client
    for each in made:
        each.close()


def kinds(redis_url: str, decision: DecisionOut) -> list[int]:
    wanted = uuid.UUID(decision.decision_id).bytes
    return sorted(fact["kind"] for fact in facts_in_log(redis_url) if fact["decision_id"] == wanted)


def test_decisions(server: ServerProcess, make: Make) -> None:
    client = make(server.config.base_url, timeout_s=20)
    answer = client.decide("ann", "story", ["sofa-1", ItemIn("new", "sofas", "https://a.example/n.jpg")])
    assert [each.item for each in answer.decisions] == ["sofa-1", "new"]
    assert answer.flags == ()
    one = client.decide_one("ann", "top", "lamp-1")
    assert (one.item, one.creative is not None and one.creative.width) == ("lamp-1", 970)
    assert server.get(one.impression_url).status == 200
    assert one.click_url in ad_html(one)
    # The policy that shows the photo as it is can choose no other.
    other = client.decide("ann", "top", ["lamp-1"] * 30, only_arms=["oak", "sand"], exclude_arms=["sand"])
    assert {each.arm for each in other.decisions} <= {"oak", "original"}


def test_events_are_in_the_log_when_send_returns(server: ServerProcess, shop_redis: EmbeddedRedis, make: Make) -> None:
    client = make(server.config.base_url, timeout_s=20)
    decision = client.decide_one("ann", "story", "sofa-1")
    answer = client.send([impression(decision), click(decision), EventIn("forged", "click")])
    assert [event.status for event in answer.events] == ["accepted", "accepted", "bad_token"]
    assert kinds(shop_redis.url, decision) == [0, 1]


def test_refusals_say_why(server: ServerProcess, make: Make) -> None:
    client = make(server.config.base_url, timeout_s=20)
    for items, status, reason in (
        ([], 400, "wrong_count"),
        (["a b"], 400, "invalid_id"),
        (["no"], 404, "unknown_item"),
    ):
        with pytest.raises(RefusedError) as raised:
            client.decide("ann", "story", items)
        assert (raised.value.status, raised.value.reason) == (status, reason)
    with pytest.raises(RefusedError) as raised:
        client.send([EventIn("forged", "click"), EventIn("forged", "sale")])
    assert [event.status for event in raised.value.events] == ["bad_token", "bad_kind"]


def test_connections_are_used_again(server: ServerProcess, make: Make) -> None:
    client = make(server.config.base_url, timeout_s=20)
    inner: Any = client.client if isinstance(client, Waited) else client
    for _ in range(5):
        client.decide_one("ann", "story", "sofa-1")
    (connection,) = inner._http._transport._pool.connections
    assert "Request Count: 5" in connection.info()


def test_no_server_is_told(make: Make) -> None:
    client = make(f"http://127.0.0.1:{free_port()}", patience_s=0)
    with pytest.raises(UnreachableError, match="no answer from http://127"):
        client.decide("ann", "story", ["sofa-1"])
    with pytest.raises(UnreachableError):
        client.send([EventIn("a", "click")])


def test_events_outlast_an_outage_of_the_log(tmp_path: Path, make: Make) -> None:
    with (
        EmbeddedRedis(tmp_path / "redis") as redis_server,
        ServerProcess(tmp_path / "server", redis_server.url, append_timeout_ms=300) as server,
    ):
        fill(connect(redis_server.url))
        decision = make(server.config.base_url, timeout_s=20).decide_one("ann", "story", "sofa-1")
        redis_server.stop()
        with pytest.raises(BusyError, match="status 503"):
            make(server.config.base_url, timeout_s=20, patience_s=0).send([click(decision)])
        patient = make(server.config.base_url, timeout_s=20, patience_s=60)

        # Redis lives as long as the thread that starts it.
        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(patient.send, [click(decision)])
            _refused_once(server)
            redis_server.start()
            answer = sending.result()
        assert answer.accepted == 1
        # It may have been appended more than once: it counts once (a fact is its decision and kind).
        assert set(kinds(redis_server.url, decision)) == {1}


def _refused_once(server: ServerProcess) -> None:
    """Wait until the server has refused one more batch than before."""

    def refused() -> int:
        text = server.get("/metrics").body.decode()
        line = next((each for each in text.splitlines() if 'route="events",status="503"' in each), "0")
        return int(float(line.split()[-1]))

    before = refused()
    wait_until(lambda: refused() > before, "a batch is refused")


async def test_an_async_client_asks_at_once_for_many(server: ServerProcess) -> None:
    async with AsyncClient(server.config.base_url, timeout_s=20, connections=4) as client:
        asked: list[Coroutine[Any, Any, DecisionOut]] = [
            client.decide_one(f"user-{number}", "story", "sofa-1") for number in range(40)
        ]
        decisions = await asyncio.gather(*asked)
    assert len({each.decision_id for each in decisions}) == 40


def test_the_client_loads_nothing_of_the_server() -> None:
    loaded = loaded_by("from serving import AsyncClient, Client\nimport serving.client")
    assert loaded & {"uvicorn", "redis", "cryptography", "prometheus_client", "structlog", "stores", "learner"} == set()
    assert {"httpx2", "msgspec"} <= loaded
