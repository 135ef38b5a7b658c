"""A shop to serve, for benchmarks: the demo's catalogue in Redis through Feast, pictures, packs; servers beside it."""

import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.http_load import Call, post
from benchmarks.job import cpu_s, wait_for
from contracts import ORIGINAL_ARM, ContextSchema, CreativeRef, SetupError, TrafficPolicy, keys
from demo.measure import descendants
from demo.shop import CATALOGUE, Shop, open_shop
from learner import ArmStats, LinUCB
from stores import CreativeIndex, EmbeddedRedis, PolicyStore, StatisticsStore, connect
from stores.child import choose_port, start_child
from stores.connect import command

LINEAGE = "benchmark"
ARMS = 10
SHOPPERS = 2_000

_ROOT = Path(__file__).parents[1]
_HOST = "127.0.0.1"
_REFRESH_S = 1.0
_GRACE_S = 10.0
_OK = 200
# The suite, its load and Redis share the cores with the server: a late answer here is not a broken Redis, and a
# decision without features would be a cheaper one.
_DEADLINE_MS = "500"


@dataclass(frozen=True, slots=True)
class World:
    """The running Redis with everything that decisions need, and the settings of processes that use it."""

    shop: Shop
    redis_url: str
    home: Path

    @property
    def plan_path(self) -> Path:
        """The compiled read plan."""
        return self.home / "features" / "plan.json"

    @property
    def environment(self) -> Mapping[str, str]:
        """Settings of the children."""
        features = self.home / "features"
        return {
            "BACKDROP_HOME": str(self.home),
            "BACKDROP_REDIS_URL": self.redis_url,
            "BACKDROP_LINEAGE__ID": LINEAGE,
            "BACKDROP_SERVE__REDIS_DEADLINE_MS": _DEADLINE_MS,
            "FEAST_FS_YAML_FILE_PATH": str(features / "feature_store.yaml"),
            "BACKDROP_FEATURES_DIR": str(features / "profiles"),
            "FEAST_USAGE": "False",
        }

    @property
    def schema_path(self) -> Path:
        """The compiled context schema."""
        return self.home / "features" / "context.json"

    def decide_calls(self, items: int, count: int = 500, seed: int = 0) -> list[Call]:
        """Decide requests of random shoppers for random products in random placements."""
        return [
            Call(post("/v1/decide", json.dumps({"user": user, "placement": slot, "items": wanted}).encode()))
            for user, slot, names in self._asked(items, count, seed)
            for wanted in [[{"id": name} for name in names]]
        ]

    def feature_calls(self, items: int, count: int = 500, seed: int = 0) -> list[Call]:
        """The same requests to Feast's own server, for the features alone."""
        # Several views have a feature of the same name.
        asked = {"feature_service": "decide", "full_feature_names": True}
        return [
            Call(post("/get-online-features", json.dumps({**asked, "entities": rows}).encode()))
            for user, slot, names in self._asked(items, count, seed)
            for rows in [{"user": [user] * items, "item": list(names), "placement": [slot] * items}]
        ]

    def _asked(self, items: int, count: int, seed: int) -> Iterator[tuple[str, str, Sequence[str]]]:
        rng = np.random.default_rng(seed)
        products = [product.item_id for product in self.shop.products]
        for _ in range(count):
            user = self.shop.population.users[rng.integers(SHOPPERS)]
            slot = self.shop.placements[rng.integers(len(self.shop.placements))].placement
            yield user, slot, [products[i] for i in rng.choice(len(products), items, replace=False)]


@dataclass(frozen=True, slots=True)
class Server:
    """A server in processes of its own."""

    pid: int
    port: int

    def cpu_s(self) -> float:
        """Processor time (seconds) that it has used so far."""
        return sum(map(cpu_s, (self.pid, *descendants(self.pid))))

    def get(self, path: str) -> bytes:
        """The body of a GET."""
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=30)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def world() -> Iterator[World]:
    """The demo's shop in a Redis of its own: features, ten arms a slot, a pack a category, all traffic to LinUCB."""
    with TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis", fsync="no") as redis_server:
        shop = open_shop(CATALOGUE, world="demo", shoppers=SHOPPERS, seed=0)
        place = World(shop, redis_server.url, Path(folder) / "home")
        shop.write_profiles(place.home / "features" / "profiles", time.time_ns() // 1000)
        _finish([sys.executable, "-m", "backdrop", "features"], place.environment)
        with connect(place.redis_url) as client:
            publish_creatives(CreativeIndex(client), [product.item_id for product in shop.products], shop)
            PolicyStore(client).put(TrafficPolicy(split={"linucb": 1.0}))
            command(client, "SET", keys.ACTIVE_LINEAGE, LINEAGE)
            put_packs(place.redis_url, shop.categories, ContextSchema.from_json(place.schema_path.read_bytes()), 1)
        yield place


def put_packs(redis_url: str, categories: Sequence[str], schema: ContextSchema, generation: int) -> None:
    """Store a pack of ten arms for each category, every one with numbers of its own."""
    with connect(redis_url) as client:
        store = StatisticsStore(client, LINEAGE)
        rng = np.random.default_rng(generation)
        for category in categories:
            blob = _pack(rng, schema).to_arrow(lineage=LINEAGE, schema_hash=schema.hash, generation=generation)
            command(client, "SADD", keys.lineage_categories(LINEAGE), category)
            store.put_pack(category, generation, blob)


def refresh_packs(redis_url: str, schema_path: str, *categories: str) -> None:
    """Store new packs for all categories every second, for ever: the program behind ``refreshing``."""
    schema, generation = ContextSchema.from_json(Path(schema_path).read_bytes()), int(time.time())
    while True:
        started = time.monotonic()
        generation += 1
        put_packs(redis_url, categories, schema, generation)
        time.sleep(max(0.0, _REFRESH_S - (time.monotonic() - started)))


@contextmanager
def refreshing(place: World) -> Iterator[None]:
    """New packs for all categories every second, from a process of its own."""
    program = "import sys; from benchmarks.serving_world import refresh_packs; refresh_packs(*sys.argv[1:])"
    words = [place.redis_url, str(place.schema_path), *place.shop.categories]
    with _running([sys.executable, "-c", program, *words], {}):
        yield


@contextmanager
def backdrop_server(place: World, **settings: str) -> Iterator[Server]:
    """``backdrop serve`` with its defaults, but for the deadline and ``settings`` (environment variables)."""
    port = choose_port()
    command_line = [sys.executable, "-m", "backdrop", "serve", "--port", str(port)]
    with _running(command_line, {**place.environment, **settings}) as pid:
        yield _answering(Server(pid, port), "/readyz")


@contextmanager
def empty_server() -> Iterator[Server]:
    """The server's own stack with an application that reads the request and answers ``{}``."""
    port = choose_port()
    with _running([sys.executable, "-m", "benchmarks.empty_server", str(port)], {}) as pid:
        yield _answering(Server(pid, port), "/")


@contextmanager
def feast_server(place: World) -> Iterator[Server]:
    """``feast serve`` on the same registry and Redis, one worker, without its access log."""
    port = choose_port()
    program = "from feast.cli.cli import cli; cli()"
    words = ["serve", "--host", _HOST, "--port", str(port), "--no-access-log", "--max-requests", "0"]
    with _running([sys.executable, "-c", program, *words], place.environment, folder=_ROOT / "feature_repo") as pid:
        yield _answering(Server(pid, port), "/health")


@contextmanager
def _running(words: Sequence[str], environment: Mapping[str, str], folder: Path = _ROOT) -> Iterator[int]:
    child = start_child(
        words,
        on_parent_death=signal.SIGTERM,
        output=DEVNULL,
        folder=folder,
        environment={"PYTHONPATH": str(_ROOT), **environment},
    )
    try:
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(_GRACE_S)
        finally:
            for pid in (*descendants(child.pid), child.pid):
                _kill(pid)
            child.wait()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _finish(words: Sequence[str], environment: Mapping[str, str]) -> None:
    child = start_child(words, on_parent_death=signal.SIGKILL, output=DEVNULL, folder=_ROOT, environment=environment)
    if child.wait() != 0:
        message = f"{' '.join(words[1:])} failed: run it by hand to see why"
        raise SetupError(message)


def _answering(server: Server, path: str) -> Server:
    def answers() -> bool:
        if os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            message = f"the server of port {server.port} ended before it answered: start it by hand to see why"
            raise SetupError(message)
        connection = http.client.HTTPConnection(_HOST, server.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == _OK
        except OSError:
            return False
        finally:
            connection.close()

    wait_for(f"an answer on port {server.port}", answers)
    return server


def _arms() -> list[str]:
    return [ORIGINAL_ARM, *(f"prompt-{number}" for number in range(ARMS - 1))]


def publish_creatives(index: CreativeIndex, items: Sequence[str], shop: Shop) -> None:
    """Ten pictures for each item in each of the shop's placements."""
    refs = {
        (item, slot.placement): {
            arm: CreativeRef(name, f"/media/creatives/{name[:2]}/{name}.jpg", slot.width, slot.height)
            for arm in _arms()
            for name in [f"{item}-{slot.placement}-{arm}"]
        }
        for item in items
        for slot in shop.placements
    }
    index.publish_all(refs)


def _pack(rng: np.random.Generator, schema: ContextSchema) -> LinUCB:
    contexts = rng.integers(-1024, 1025, size=(200, schema.d)) / 1024.0
    stats = {
        arm: ArmStats.zero(schema.d).observe(contexts, (rng.random(200) < 0.1).astype(np.float64)) for arm in _arms()
    }
    return LinUCB.fit(stats, alpha=0.1)
