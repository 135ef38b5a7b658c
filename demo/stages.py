"""The parts of the running system that the demo starts, each as a stranger would by the command line."""

import json
import os
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from backdrop.settings import load_settings
from backdrop.wiring import generate_config
from contracts import ORIGINAL_ARM, SetupError, TrafficPolicy, keys
from demo.config import ATTRIBUTION_S, GRACE_S, LINEAGE, PREFERRED_PORT, WINDOW_S, DemoConfig
from demo.processes import Child, Supervisor
from demo.shop import Shop
from stores import PolicyStore, StatisticsStore
from stores.child import choose_port

if TYPE_CHECKING:
    from beam_pipelines.generate import GenerateReport, Progress

PARTITIONS = 4
# Two cores: more shards only make more and smaller deltas.
SHARDS = 2
HOST = "127.0.0.1"
READY_S = 60.0
_POLL_S = 0.05
FEATURES_S = 180.0

# Everything of a run but the pictures and their manifest, which the next run finds made.
_FLEETING = ("redis", "logs", "features", "keys", "objects/archive", "objects/features")
_OK = 200
_PROBE_S = 2.0


@dataclass(frozen=True, slots=True)
class Site:
    """Where this run lives: its folder, the server's port, Redis."""

    home: Path
    port: int
    redis_url: str
    catalogue: Path
    workers: int

    @property
    def url(self) -> str:
        """Base URL of the server."""
        return f"http://{HOST}:{self.port}"

    @property
    def objects(self) -> Path:
        """Folder of the object store."""
        return self.home / "objects"

    @property
    def profiles(self) -> Path:
        """Folder of the Parquet files behind the features."""
        return self.home / "features" / "profiles"

    def environment(self) -> Mapping[str, str]:
        """Settings of the children."""
        return {
            "BACKDROP_HOME": str(self.home),
            "BACKDROP_REDIS_URL": self.redis_url,
            "BACKDROP_PARTITIONS": str(PARTITIONS),
            "BACKDROP_OBJECTS_URI": str(self.objects),
            "BACKDROP_LINEAGE__ID": LINEAGE,
            "BACKDROP_LINEAGE__WINDOW_S": str(WINDOW_S),
            "BACKDROP_LINEAGE__ATTRIBUTION_S": str(ATTRIBUTION_S),
            "BACKDROP_LINEAGE__GRACE_S": str(GRACE_S),
            "BACKDROP_LINEAGE__SHARDS": str(SHARDS),
            "BACKDROP_SERVE__HOST": HOST,
            "BACKDROP_SERVE__PORT": str(self.port),
            "BACKDROP_SERVE__STUDIO": "true",
            # Shoppers, learner and Redis share this machine's cores: a late answer here is not a broken Redis.
            "BACKDROP_SERVE__REDIS_DEADLINE_MS": "250",
            "BACKDROP_GENERATE__CATALOGUE": str(self.catalogue / "products.parquet"),
            "BACKDROP_GENERATE__PROMPTS": str(self.catalogue / "prompts.yaml"),
            "BACKDROP_GENERATE__PLACEMENTS": str(self.catalogue / "placements.yaml"),
            "BACKDROP_GENERATE__WORKERS": str(self.workers),
        }


@contextmanager
def own_home(home: Path) -> Iterator[Path]:
    """Hold the state folder for this run alone, cleared of an earlier run's state; yields its absolute path.

    Raises:
        SetupError: if another run holds it, it cannot be written, or it holds files that are not a demo's.
    """
    home = home.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        if any(home.iterdir()) and not (home / "lock").exists():
            # Folders named keys or redis may be anybody's: a run must not clear those.
            message = f"{home} holds files that are not a demo's: choose an empty or a new folder with --home"
            raise SetupError(message)
        lock = (home / "lock").open("w")
    except OSError as error:
        message = f"{home} cannot be written ({error.strerror}): choose another folder with --home"
        raise SetupError(message) from error
    with lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except OSError as error:
            message = f"another demo runs in {home}: end it (Ctrl-C), or choose another folder with --home"
            raise SetupError(message) from error
        for name in _FLEETING:
            shutil.rmtree(home / name, ignore_errors=True)
        yield home


@contextmanager
def server_port(config: DemoConfig) -> Iterator[int]:
    """Hold the port asked for, else the usual one, else any that is free; the server may still take it.

    The server starts half a minute later: without a hold two demos would choose the same port.

    Raises:
        SetupError: if the port asked for is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as hold:
        if config.port is None and not _taken(PREFERRED_PORT):
            port = PREFERRED_PORT
        else:
            port = choose_port(config.port or 0, HOST)
        # Sockets that both allow reuse, neither listening, may share a port (socket(7)): ours and the server's.
        hold.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hold.bind((HOST, port))
        yield port


def _taken(port: int) -> bool:
    """Whether anybody listens on a port or holds it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def put_policy(client: redis.Redis, config: DemoConfig) -> TrafficPolicy:
    """Put the traffic split in force; each seed assigns shoppers to policies anew."""
    policy = TrafficPolicy(salt=f"demo-{config.seed}", split=dict(config.split), default_alpha=config.alpha)
    PolicyStore(client).put(policy)
    return policy


def start(children: Supervisor, site: Site, command: str) -> Child:
    """Start ``backdrop <command>`` with the site's settings."""
    return children.start(command, [sys.executable, "-m", "backdrop", command], site.environment())


def creatives_wanted(shop: Shop) -> int:
    """How many pictures there will be: each product, placement, and prompt of its category or the photo."""
    return sum(len(arms) for arms in shop.world.arms) * len(shop.placements)


def generate(site: Site, progress: "Callable[[Progress], None]") -> "GenerateReport":
    """Make the pictures that are missing and publish all; call it from the main thread.

    Raises:
        BackdropError: what the job raised.
    """
    from beam_pipelines.generate import run

    with _environment(site.environment()):
        settings = load_settings()
    return run(generate_config(settings, limit=0, only=(), dry_run=False), progress)


def creatives_published(client: redis.Redis, shop: Shop) -> tuple[int, list[str]]:
    """How many pictures the creative index holds, and which slots lack their untouched photo or all others."""
    pipe = client.pipeline(transaction=False)
    pairs = [(product.item_id, slot.placement) for product in shop.products for slot in shop.placements]
    for item, slot in pairs:
        pipe.hkeys(keys.creatives(item, slot))
    found: list[list[bytes]] = pipe.execute()
    lacking = [
        f"{item} in {slot}"
        for (item, slot), arms in zip(pairs, found, strict=True)
        if ORIGINAL_ARM.encode() not in arms or len(arms) < len((ORIGINAL_ARM, "any other"))
    ]
    return sum(map(len, found)), lacking


def server_ready(site: Site) -> bool:
    """Whether the server says it is ready."""
    try:
        with urllib.request.urlopen(f"{site.url}/readyz", timeout=_PROBE_S) as answer:
            return bool(answer.status == _OK)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def wait_flushed(site: Site, watch: Callable[[], None]) -> None:
    """Wait until the log has every event that the server answered for: pixels are answered first, appended behind.

    Raises:
        SetupError: if it takes longer than a minute.
    """
    deadline = time.monotonic() + READY_S
    while (waiting := _buffered_facts(site)) != 0:
        if time.monotonic() > deadline:
            message = f"the server still holds {waiting} events that the log should have: see its log"
            raise SetupError(message)
        watch()
        time.sleep(_POLL_S)


def _buffered_facts(site: Site) -> int | None:
    """Events that wait in the server for the log; None if it did not say."""
    try:
        with urllib.request.urlopen(f"{site.url}/readyz", timeout=_PROBE_S) as answer:
            return int(json.load(answer)["buffered_facts"])
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError):
        return None


def learner_ready(store: StatisticsStore) -> bool:
    """Whether a learner has said that it reads the log."""
    return bool(store.status()) or store.low_watermark() >= 0


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while, so that settings here are those of the children."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
