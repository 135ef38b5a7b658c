"""A shop that is served, the real thing: Redis, a server process, traffic; and what it is to survive a fault."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from contracts import LINUCB, RANDOM, TrafficPolicy, keys
from stores import EmbeddedRedis, PolicyStore
from stores.connect import command, connect
from tests.chaos_serve.traffic import Fact, Traffic
from tests.serving.world import LINEAGE, ServerProcess, facts_in_log, fill, put_pack, wait_until

PATIENCE_S = 30.0
# So that the buffer is empty now and then, which is how it is seen that all is written.
PAUSE_S = 0.02
DEFECTS = ("Traceback", "_broke", "Exception", "never awaited", "was never retrieved")
SPLIT = {RANDOM: 0.5, LINUCB: 0.5}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, what is expected then, and a play of it that returns what came back (or raises)."""

    name: str
    expected: str
    play: Callable[["Place"], str]


def stock(url: str, media: str = "/media/creatives") -> None:
    """Put the shop, its packs and its split into a Redis, in the place of what it has of them."""
    client = connect(url)
    command(client, "DEL", *(keys.pack(category, LINEAGE) for category in ("sofas", "lamps")))
    fill(client, media)
    PolicyStore(client).put(TrafficPolicy(split=SPLIT))
    put_pack(client, "sofas", "oak", 1)
    put_pack(client, "lamps", "tile", 1)
    client.close()


class Place:
    """Redis (appendfsync always: what it confirmed it has) with the shop in it, and a server."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.redis = EmbeddedRedis(folder / "redis", fsync="always")
        self._settings: dict[str, Any] = {
            "append_timeout_ms": 500,
            "read_deadline_ms": 50,
            "clock_check_ms": 500,
            **settings,
        }
        self._server: ServerProcess | None = None
        self._looked_at = 0

    @property
    def server(self) -> ServerProcess:
        """The server process."""
        assert self._server is not None
        return self._server

    def __enter__(self) -> Self:
        self.redis.start()
        stock(self.redis.url)
        self._server = ServerProcess(self.folder / "server", self.redis.url, **self._settings)
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)
        self.redis.stop()

    def command(self, *words: str | bytes | int) -> Any:
        """Run one Redis command."""
        client = connect(self.redis.url)
        try:
            return command(client, *words)
        finally:
            client.close()

    def counter(self, name: str, labels: str = "") -> float:
        """The server's counter now, 0 if it never counted."""
        text = self.server.get("/metrics").body.decode()
        found = re.search(rf"^{re.escape(f'backdrop_{name}_total{labels}')} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def defects(self) -> list[str]:
        """Lines of the server's log since the last look that tell of a defect, as against a fault around it."""
        written = self.server.log_path.read_text(errors="replace")
        lines = written[self._looked_at :].splitlines()
        self._looked_at = len(written)
        return [line for line in lines if any(sign in line for sign in DEFECTS)]

    def until_well(self) -> float:
        """Wait until decisions are as ever and nothing waits for the log; returns how long that took, s."""
        began = time.monotonic()
        wait_until(self._well, "the server is as ever", PATIENCE_S)
        return time.monotonic() - began

    def _well(self) -> bool:
        ready = self.server.get("/readyz")
        answer = ready.json()
        quiet = ready.status == 200 and answer["degraded"] == [] and answer["buffered_facts"] == 0
        decision = self.server.decide("ann", "sofa-1")
        return quiet and not decision["request_flags"] and not decision["flags"] and decision["model"] is not None


def suffer(place: Place, act: Callable[[], None], *, loses: bool = False) -> tuple[Traffic, str]:
    """Let ``act`` happen under traffic; returns the traffic and what came back.

    Fails if a decision, pixel or click ever got a 5xx or none, /v1/events anything but 202 or 503, the server does
    not recover, or, unless it ``loses`` facts with the dataset, a fact is not in the log.
    """
    with Traffic(place.server.config.base_url, pause_s=PAUSE_S) as traffic:
        wait_until(lambda: traffic.decisions > 10, "there is traffic")
        act()
        back_s = place.until_well()
    assert not traffic.server_errors, (traffic.server_errors, traffic.broken[:3])
    statuses = {status for route, status in traffic.answers if route == "events"}
    assert statuses <= {202, 503}, (traffic.answers, traffic.broken[:3])
    place.until_well()
    if not loses:
        none_lost(traffic, place.server, place.redis.url)
    return traffic, _told(traffic, back_s, "" if loses else ", no fact lost")


def none_lost(traffic: Traffic, server: ServerProcess, *urls: str) -> None:
    """Fail if a fact that was answered is in none of the event logs of some Redis."""
    wait_until(lambda: server.get("/readyz").json()["buffered_facts"] == 0, "all is written", PATIENCE_S)
    lost = (traffic.told | traffic.accepted) - facts_of(*urls)
    assert not lost, f"{len(lost)} facts are not in the log"


def facts_of(*urls: str) -> set[Fact]:
    """What is in the event logs of some Redis."""
    return {(fact["decision_id"], fact["kind"]) for url in urls for fact in facts_in_log(url)}


def _told(traffic: Traffic, back_s: float, facts: str) -> str:
    flags = ", ".join(f"`{flag}` × {times}" for flag, times in sorted(traffic.flags.items())) or "no flags"
    refused = traffic.answers["events", 503]
    events = f"/v1/events 202 × {traffic.answers['events', 202]}" + (f", 503 × {refused}" if refused else "")
    return f"{traffic.decisions} decisions, no 5xx ({flags}); {events}; as ever {back_s:.1f} s after{facts}"
