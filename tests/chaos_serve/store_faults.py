"""Faults of Redis, of the event log and of clocks, each under traffic."""

import os
import signal
import threading
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import redis

from stores import EmbeddedRedis
from stores.connect import command, connect
from tests.chaos_serve.place import Fault, Place, facts_of, none_lost, stock, suffer
from tests.chaos_serve.slow_proxy import SlowProxy
from tests.chaos_serve.traffic import Traffic
from tests.serving.world import ITEMS, PARTITIONS, ServerProcess, free_port, wait_until

AWAY_S = 0.8
JUMP_MS = 3_600_000


def stopped(place: Place) -> str:
    """Redis ends in order and comes back."""

    def act() -> None:
        place.redis.stop()
        time.sleep(AWAY_S)
        place.redis.start()

    traffic, told = suffer(place, act)
    assert traffic.flags["redis_unavailable"] and traffic.flags["remembered_creatives"]
    return told


def killed(place: Place) -> str:
    """Redis dies and comes back."""

    def act() -> None:
        place.redis.kill()
        time.sleep(AWAY_S)
        place.redis.start()

    traffic, told = suffer(place, act)
    assert traffic.flags["redis_unavailable"]
    return told


def paused(place: Place) -> str:
    """Redis takes connections and commands, and answers none."""

    def act() -> None:
        pid = place.redis.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(2 * AWAY_S)
        finally:
            os.kill(pid, signal.SIGCONT)

    traffic, told = suffer(place, act)
    assert traffic.flags["redis_unavailable"]
    return told


def out_of_memory(place: Place) -> str:
    """Redis is full, and evicts nothing."""

    def act() -> None:
        place.command("CONFIG", "SET", "maxmemory", 1)
        time.sleep(AWAY_S)
        assert place.server.get("/readyz").json()["buffered_facts"] > 0
        place.command("CONFIG", "SET", "maxmemory", 0)

    traffic, told = suffer(place, act)
    assert traffic.answers["events", 503]
    return told


def read_only(place: Place) -> str:
    """Redis has become the replica of one that is away: it is read, and takes no writes."""

    def act() -> None:
        place.command("REPLICAOF", "127.0.0.1", free_port())
        time.sleep(AWAY_S)
        place.command("REPLICAOF", "NO", "ONE")

    traffic, told = suffer(place, act)
    assert traffic.answers["events", 503]
    return told


def wrong_type_one(place: Place) -> str:
    """One partition's key holds something else."""

    def act() -> None:
        _put_aside(place, 0)
        time.sleep(AWAY_S)
        place.command("RENAME", "aside:0", "bd:events:0")

    traffic, told = suffer(place, act)
    assert traffic.answers["events", 202]
    assert not traffic.answers["events", 503]
    return told


def wrong_type_all(place: Place) -> str:
    """Every partition's key holds something else."""

    def act() -> None:
        for partition in range(PARTITIONS):
            _put_aside(place, partition)
        time.sleep(AWAY_S)
        for partition in range(PARTITIONS):
            place.command("RENAME", f"aside:{partition}", f"bd:events:{partition}")

    traffic, told = suffer(place, act)
    assert traffic.answers["events", 503]
    return told


def flushed(place: Place) -> str:
    """Redis loses everything under traffic; then the jobs publish again."""

    place.until_well()
    for item in ITEMS:
        place.server.decide("ann", item)

    def act() -> None:
        place.command("FLUSHALL")
        for _ in range(20):
            for item in ITEMS:
                assert place.server.decide("ann", item)["flags"][-1] == "remembered_creatives"
        stock(place.redis.url)

    traffic, told = suffer(place, act, loses=True)
    assert not traffic.answers["decide", 404]
    return told


def other_dataset(place: Place) -> str:
    """Redis comes back with another dataset, and later with its own."""
    other = EmbeddedRedis(place.folder / "other", port=place.redis.port, fsync="always")

    def act() -> None:
        place.redis.stop()
        with other:
            stock(other.url, "/media/other")
            wait_until(lambda: "/media/other/" in place.server.decide("ben", "sofa-1")["creative"]["url"], "it is seen")
            time.sleep(AWAY_S)
            place.until_well()
        place.redis.start()

    traffic, told = suffer(place, act, loses=True)
    assert traffic.flags["redis_unavailable"]
    with EmbeddedRedis(place.folder / "other") as again:
        none_lost(traffic, place.server, place.redis.url, again.url)
    return f"{told}, each fact in one of the two logs"


def slow(place: Place) -> str:
    """Every answer of Redis takes ten times the deadline."""
    with SlowProxy(place.redis.port, free_port()) as proxy, _server(place, "slow", proxy.url) as server:
        wait_until(lambda: server.decide("ann", "sofa-1")["request_flags"] == [], "features are read")
        with Traffic(server.config.base_url) as traffic:
            wait_until(lambda: traffic.decisions > 10, "there is traffic")
            proxy.delay_s = 0.2
            time.sleep(2 * AWAY_S)
            proxy.delay_s = 0.0
            wait_until(lambda: server.decide("ann", "sofa-1")["request_flags"] == [], "features are back")
        assert not traffic.server_errors, (traffic.server_errors, traffic.broken[:3])
        assert traffic.flags["redis_unavailable"]
        assert traffic.answers["events", 202]
        missed = traffic.flags["redis_unavailable"]
    return (
        f"{traffic.decisions} decisions, no 5xx, {missed} of them after the deadline without Redis; facts arrive late"
    )


def clock_jumps(place: Place) -> str:
    """The server's clock jumps an hour ahead, an hour back, and comes right."""
    offset = place.folder / "offset"
    _set(offset, 0)
    with _server(place, "clock", place.redis.url, clock=offset, clock_check_ms=100) as server:
        wait_until(lambda: server.get("/readyz").status == 200, "it is ready")
        with Traffic(server.config.base_url) as traffic:
            for jump_ms in (JUMP_MS, -JUMP_MS):
                _set(offset, jump_ms)
                wait_until(lambda: server.get("/readyz").json()["reasons"] == ["clock_skewed"], "readiness tells it")
                before = traffic.decisions
                wait_until(lambda at=before: traffic.decisions > at + 20, "decisions go on")  # type: ignore[misc]
            _set(offset, 0)
            wait_until(lambda: server.get("/readyz").status == 200, "it is ready again")
        assert not traffic.server_errors, (traffic.server_errors, traffic.broken[:3])
    jumps = (
        f"{traffic.decisions} decisions, no 5xx; readiness says `clock_skewed` after each jump, 200 when it is right"
    )
    accepted, refused = (traffic.answers["events", status] for status in (202, 400))
    return f"{jumps}; /v1/events 202 × {accepted}, 400 × {refused}; no fact lost"


def no_more_clients(place: Place) -> str:
    """Redis hangs up on all its clients and takes no other."""
    with closing(connect(place.redis.url)) as client:

        def act() -> None:
            run = partial(command, client)
            run("CONFIG", "SET", "maxclients", 1)
            run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            run("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
            time.sleep(AWAY_S)
            run("CONFIG", "SET", "maxclients", 10_000)

        traffic, told = suffer(place, act)
    assert traffic.flags["redis_unavailable"]
    return told


def password(place: Place) -> str:
    """Redis hangs up on all its clients and asks for a password that the server does not have."""
    with closing(connect(place.redis.url)) as client:

        def act() -> None:
            run = partial(command, client)
            run("CONFIG", "SET", "requirepass", "secret")
            run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(AWAY_S)
            run("CONFIG", "SET", "requirepass", "")

        traffic, told = suffer(place, act)
    assert traffic.flags["redis_unavailable"]
    return told


def busy(place: Place) -> str:
    """A script that does not end holds Redis up; it answers BUSY after a while."""
    place.command("CONFIG", "SET", "busy-reply-threshold", 100)

    def loop() -> None:
        with suppress(redis.RedisError), closing(connect(place.redis.url, retries=0)) as client:
            command(client, "EVAL", "while true do end", 0)

    def act() -> None:
        looping = threading.Thread(target=loop)
        looping.start()
        time.sleep(AWAY_S)
        place.command("SCRIPT", "KILL")
        looping.join()

    traffic, told = suffer(place, act)
    assert traffic.flags["redis_unavailable"]
    return told


def server_killed(place: Place) -> str:
    """The server itself dies under traffic and is started again."""
    with _server(place, "killed", place.redis.url) as server:
        with Traffic(server.config.base_url) as traffic:
            wait_until(lambda: traffic.answers["events", 202] > 20, "there is traffic")
            server.process.kill()
            server.process.wait()
            time.sleep(AWAY_S)
            server.start()
            at = traffic.answers["events", 202]
            wait_until(lambda: traffic.answers["events", 202] > at + 5, "traffic goes on")
        statuses = {status for _, status in traffic.answers}
        assert statuses <= {200, 202, 302, 503, 0}, traffic.answers
        wait_until(lambda: server.get("/readyz").json()["buffered_facts"] == 0, "all is written")
        facts = facts_of(place.redis.url)
        lost = len(traffic.told - facts)
        assert traffic.accepted <= facts
        assert lost <= server.config.flush_facts
    return f"no accepted fact lost; {lost} facts of pixels and clicks of {len(traffic.told)}, those of the last 25 ms"


def _set(offset: Path, by_ms: int) -> None:
    """Write a file in one step: the server reads it at each look at its clock."""
    new = offset.with_suffix(".new")
    new.write_text(str(by_ms))
    new.replace(offset)


def _put_aside(place: Place, partition: int) -> None:
    """Put a text where a partition is, at one instant: nothing is appended between."""
    script = "redis.call('RENAME', KEYS[1], KEYS[2]) redis.call('SET', KEYS[1], 'no stream')"
    place.command("EVAL", script, 2, f"bd:events:{partition}", f"aside:{partition}")


def _server(place: Place, name: str, url: str, **settings: Any) -> ServerProcess:
    return ServerProcess(place.folder / name, url, append_timeout_ms=1_000, read_deadline_ms=20, **settings)


FAULTS = (
    Fault("Redis stopped for a second", "flagged, remembered pictures; facts wait; /v1/events 503", stopped),
    Fault("Redis killed (SIGKILL), back after a second", "the same", killed),
    Fault("Redis paused (SIGSTOP) for two seconds", "each decision after the deadline; the same", paused),
    Fault("Redis out of memory (noeviction)", "decisions as ever; facts wait; /v1/events 503", out_of_memory),
    Fault("Redis a read-only replica", "decisions as ever; facts wait; /v1/events 503", read_only),
    Fault("one partition of the log of a wrong type", "facts go to the others; /v1/events 202", wrong_type_one),
    Fault("every partition of the log of a wrong type", "facts wait; /v1/events 503", wrong_type_all),
    Fault(
        "Redis emptied (FLUSHALL) under traffic",
        "remembered pictures, even draw, flagged; what is gone is gone",
        flushed,
    ),
    Fault("Redis restarted with another dataset, then its own", "served from what is there", other_dataset),
    Fault("Redis slow: 200 ms an answer", "flagged after the deadline; /v1/events waits and accepts", slow),
    Fault("Redis takes no more clients (maxclients)", "as if it were away", no_more_clients),
    Fault("Redis asks for a password", "as if it were away", password),
    Fault("Redis busy with a script without end", "as if it were away", busy),
    Fault("the server killed (SIGKILL)", "no accepted fact lost; of the others what waited", server_killed),
    Fault("server's clock an hour ahead, then an hour behind", "answers go on, readiness fails", clock_jumps),
)
