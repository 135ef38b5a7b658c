"""One server with a thousand packs: its memory, and how long it is deaf while all of them change at once."""

import json
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.http_load import Call, drive, get, post
from benchmarks.job import wait_for
from benchmarks.report import Row, at_most
from benchmarks.serving_world import LINEAGE, Server, World, backdrop_server, publish_creatives, put_packs
from benchmarks.soak import resident_mib
from contracts import Bias, ContextSchema, Hashed, TrafficPolicy, keys
from stores import CreativeIndex, PolicyStore, connect
from stores.connect import command

PACKS = 1_000
D = 32
LIMIT_MIB = 250.0

_MIB_A_MB = 1e6 / (1 << 20)
_PROBES_A_S = 250.0
_PROBED_S = 8.0
_IDLE_S = 4.0


def rows(place: World) -> Iterator[Row]:
    """The figures, in a database of their own on the world's Redis."""
    crowded = replace(place, redis_url=place.redis_url.removesuffix("/0") + "/1", home=place.home.parent / "crowded")
    categories = [f"category-{number}" for number in range(PACKS)]
    schema = _fill(place, crowded, categories)
    began = time.monotonic()
    with backdrop_server(crowded) as server:
        yield Row(f"start of a server with {PACKS:,} packs, to ready", time.monotonic() - began, "s")
        wait_for("all packs", lambda: _generations(server, categories) == {1})
        before = server.cpu_s()
        time.sleep(_IDLE_S)
        busy = (server.cpu_s() - before) / _IDLE_S
        yield Row(f"CPU of that server at rest, asking for news of {PACKS:,} packs", 100 * busy, "% of a core")
        calls = _calls(crowded, categories)
        answers = drive(server.port, calls, connections=4, seconds=0.0, count=len(calls))
        flagged = sum(b'"generation":1' not in body for body in answers.bodies)
        yield _memory("at rest, a decision in every category", server, note=f"{flagged} of 100 looked at without model")
        yield _stall(crowded, server, categories, schema)
        drive(server.port, calls, connections=4, seconds=0.0, count=len(calls))
        yield _memory("just after all have changed", server)


def _memory(when: str, server: Server, note: str = "") -> Row:
    held = resident_mib(server.pid) / _MIB_A_MB
    return at_most(f"RSS with {PACKS:,} packs of 10 arms, d = {D}: {when}", held, "MB", LIMIT_MIB, note=note)


def _stall(place: World, server: Server, categories: Sequence[str], schema: ContextSchema) -> Row:
    """The longest that a health check waits while a thousand new packs are taken up."""
    writer = threading.Thread(target=put_packs, args=(place.redis_url, categories, schema, 2))
    quiet = drive(server.port, [Call(get("/healthz"))], connections=8, seconds=_PROBED_S / 2, rate=_PROBES_A_S)
    writer.start()
    busy = drive(server.port, [Call(get("/healthz"))], connections=8, seconds=_PROBED_S, rate=_PROBES_A_S)
    writer.join()
    wait_for("the new packs", lambda: _generations(server, categories) == {2})
    note = f"p99 {busy.quantile(0.99) * 1e3:.1f} ms; at rest longest {quiet.latencies[-1] * 1e3:.1f} ms"
    return Row(
        f"longest wait of a health check while {PACKS:,} packs change", busy.latencies[-1] * 1e3, "ms", note=note
    )


def _fill(place: World, crowded: World, categories: Sequence[str]) -> ContextSchema:
    folder = crowded.home / "features"
    folder.mkdir(parents=True)
    shutil.copy(place.plan_path, folder / "plan.json")
    schema = ContextSchema((Bias(), Hashed("item_profile:category", D - 1)))
    (folder / "context.json").write_bytes(schema.to_json())
    with connect(crowded.redis_url) as client:
        publish_creatives(CreativeIndex(client), [f"of-{category}" for category in categories], crowded.shop)
        PolicyStore(client).put(TrafficPolicy(split={"linucb": 1.0}))
        command(client, "SET", keys.ACTIVE_LINEAGE, LINEAGE)
    put_packs(crowded.redis_url, categories, schema, 1)
    return schema


def _calls(place: World, categories: Sequence[str]) -> list[Call]:
    slot = place.shop.placements[0].placement
    return [
        Call(
            post(
                "/v1/decide",
                json.dumps(
                    {"user": "u", "placement": slot, "item": {"id": f"of-{category}", "category": category}}
                ).encode(),
            )
        )
        for category in categories
    ]


def _generations(server: Server, categories: Sequence[str]) -> set[int]:
    found = json.loads(server.get("/readyz"))["packs"]
    return {found.get(category, 0) for category in categories}
