"""A small shop for the server's tests: features as Feast stores them, creatives, and a real server process."""

import http.client
import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import redis

from contracts import (
    Bias,
    ContextSchema,
    CreativeRef,
    Numeric,
    OneHot,
    PlannedEntity,
    PlannedFeature,
    PlannedView,
    ReadPlan,
    decode_facts,
    entity_key,
)
from learner import ArmStats, LinUCB
from serving import ServerConfig
from stores import CreativeIndex, RedisEventLog, StatisticsStore
from stores.connect import command, connect

ROOT = Path(__file__).parents[2]
PARTITIONS = 2
LINEAGE = "main"
PROJECT = "shop"
TTL_MS = 24 * 3_600_000
ARMS = ("oak", "original", "sand", "tile")
ITEMS: Mapping[str, tuple[str, float]] = {
    "sofa-1": ("sofas", 900.0),
    "sofa-2": ("sofas", 300.0),
    "lamp-1": ("lamps", 60.0),
}
PLACEMENTS: Mapping[str, tuple[int, int]] = {"story": (540, 960), "top": (970, 250)}
USERS: Mapping[str, str] = {"ann": "minimal", "ben": "nature", "cid": "urban"}

SCHEMA = ContextSchema(
    (
        Bias(),
        OneHot("user_profile:segment", ("minimal", "nature", "urban")),
        Numeric("item_profile:price", 5.0, 5000.0, 150.0, log=True),
        Numeric("placement_profile:width", 0.25, 4.0, 1.0, log=True, per="placement_profile:height"),
    )
)


def _view(name: str, features: Mapping[str, str]) -> PlannedView:
    planned = tuple(PlannedFeature(each, f"{name}.{each}".encode(), kind) for each, kind in features.items())
    return PlannedView(name, TTL_MS, planned)


PLAN = ReadPlan(
    PROJECT,
    (
        PlannedEntity("user", "user", "STRING", (_view("user_profile", {"segment": "STRING"}),)),
        PlannedEntity(
            "item",
            "item",
            "STRING",
            (
                _view(
                    "item_profile",
                    {"category": "STRING", "price": "DOUBLE", "url": "STRING", "image_url": "STRING"},
                ),
            ),
        ),
        PlannedEntity(
            "placement", "placement", "STRING", (_view("placement_profile", {"width": "INT64", "height": "INT64"}),)
        ),
    ),
    ("item_profile:category", "item_profile:url", "item_profile:image_url"),
)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _value(value: str | float | int) -> bytes:
    """A value as Feast's protobuf writes it."""
    if isinstance(value, str):
        data = value.encode()
        return b"\x12" + _varint(len(data)) + data
    return b"\x20" + _varint(value) if isinstance(value, int) else b"\x29" + struct.pack("<d", value)


def put_features(
    client: redis.Redis, role: str, name: str, values: Mapping[str, str | float | int], age_ms: int = 0
) -> None:
    """Store an entity's features, as of ``age_ms`` ago."""
    entity = next(each for each in PLAN.entities if each.role == role)
    view = entity.views[0]
    seconds = (time.time_ns() // 1_000_000 - age_ms) // 1000
    words: list[bytes] = [view.timestamp_field, b"\x08" + _varint(seconds)]
    for feature in view.features:
        if feature.name in values:
            words += [feature.field, _value(values[feature.name])]
    command(client, "HSET", entity_key(entity, PROJECT, name), *words)


def fill(client: redis.Redis, media: str = "/media/creatives") -> None:
    """Put the whole shop into Redis."""
    for user, segment in USERS.items():
        put_features(client, "user", user, {"segment": segment})
    for item, (category, price) in ITEMS.items():
        url, image = f"https://shop.example/{item}", f"https://shop.example/{item}.jpg"
        put_features(client, "item", item, {"category": category, "price": price, "url": url, "image_url": image})
    for placement, (width, height) in PLACEMENTS.items():
        put_features(client, "placement", placement, {"width": width, "height": height})
    index = CreativeIndex(client)
    for item in ITEMS:
        for placement, (width, height) in PLACEMENTS.items():
            refs = {arm: CreativeRef(creative_id(item, placement, arm), "", width, height) for arm in ARMS}
            index.publish(
                item, placement, {arm: replace(ref, url=f"{media}/{ref.creative_id}.png") for arm, ref in refs.items()}
            )


def creative_id(item: str, placement: str, arm: str) -> str:
    """The id of a creative of this shop."""
    return f"{item}.{placement}.{arm}"


def context_of(user: str, item: str, placement: str) -> list[int]:
    """The context that a decision must have, from the plain values."""
    width, height = PLACEMENTS[placement]
    columns: dict[str, list[object]] = {
        "user_profile:segment": [USERS.get(user)],
        "item_profile:price": [ITEMS[item][1]],
        "placement_profile:width": [width],
        "placement_profile:height": [height],
    }
    context: list[int] = SCHEMA.encode(*SCHEMA.raw(columns))[0].tolist()
    return context


def put_pack(client: redis.Redis, category: str, best: str, generation: int, *, schema_hash: str = SCHEMA.hash) -> None:
    """Store a pack that prefers the arm ``best``."""
    contexts = np.ones((500, SCHEMA.d))
    stats = {
        arm: ArmStats.zero(SCHEMA.d).observe(contexts, np.full(500, 1.0 if arm == best else 0.0))
        for arm in ("oak", "tile")
    }
    store = StatisticsStore(client, LINEAGE)
    command(client, "SADD", f"bd:lineage:{LINEAGE}:categories", category)
    command(client, "SET", "bd:active", LINEAGE)
    blob = LinUCB.fit(stats, alpha=0.01).to_arrow(lineage=LINEAGE, schema_hash=schema_hash, generation=generation)
    assert store.put_pack(category, generation, blob)


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class ServerProcess:
    """A server in a process of its own; ``clock`` is a file with the milliseconds by which its clock is wrong."""

    def __init__(self, folder: Path, redis_url: str, *, clock: Path | None = None, **changes: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._clock = clock
        (folder / "plan.json").write_bytes(PLAN.to_json())
        (folder / "schema.json").write_bytes(SCHEMA.to_json())
        settings: dict[str, Any] = {
            "redis_url": redis_url,
            "plan_path": folder / "plan.json",
            "schema_path": folder / "schema.json",
            "keyring_path": folder / "keys.json",
            "port": free_port(),
            "objects_root": folder / "objects",
            "partitions": PARTITIONS,
            "refresh_ms": 200,
            # Tests run on busy machines: only those about the deadline are to meet it.
            "read_deadline_ms": 500,
            "allowed_hosts": ("ads.example",),
        }
        self.config = ServerConfig(**(settings | changes))
        self.log_path = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The running process."""
        assert self._process is not None
        return self._process

    def start(self) -> Self:
        """Start and wait until it answers."""
        self.launch()
        wait_until(self._answers, "the server answers")
        return self

    def launch(self) -> None:
        """Start without waiting."""
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self.config).items()}
        clock = [str(self._clock)] if self._clock is not None else []
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.serving.server_process", json.dumps(plain), *clock],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> int:
        """Ask it to end and wait."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection(self.config.host, self.config.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Reply:
        """GET a path, or a whole URL of this server."""
        return self.ask("GET", path.removeprefix(self.config.base_url))

    def post(self, path: str, value: object) -> Reply:
        """POST JSON."""
        return self.ask("POST", path, json.dumps(value).encode(), {"content-type": "application/json"})

    def decide(self, user: str = "ann", item: str = "sofa-1", placement: str = "story", **more: str) -> Any:
        """Decide on one item; returns the decision with the request's flags and model."""
        reply = self.post("/v1/decide", {"user": user, "placement": placement, "item": {"id": item, **more}})
        assert reply.status == 200, reply
        answer = reply.json()
        return answer["decisions"][0] | {"request_flags": answer["flags"], "model": answer["model"]}

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            message = f"the server ended: {self.log_path.read_text()[-3000:]}"
            raise AssertionError(message)
        try:
            return self.get("/healthz").status == 200
        except OSError:
            return False


def free_port() -> int:
    """A port that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(holds: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait until something comes true."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s until {what}"
        time.sleep(0.02)


def facts_in_log(redis_url: str) -> list[dict[str, Any]]:
    """Every fact in the event log, as plain values, with its batch's schema and lineage."""
    log = RedisEventLog(connect(redis_url), PARTITIONS)
    found: list[dict[str, Any]] = []
    for partition in range(PARTITIONS):
        for entry in log.read(partition, type(log.last(partition))(0, 0), 100_000).entries:
            batch = decode_facts(entry.blob)
            found += [row | {"schema": batch.schema_hash, "lineage": batch.lineage} for row in batch.rows.to_pylist()]
    return found
