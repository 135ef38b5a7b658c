"""Features in batches: the log aggregated and rows loaded, each in a process of its own whose memory is its own.

``python -m benchmarks.features aggregate|load <folder> <redis url>`` is such a process.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.report import Row, at_most
from benchmarks.soak import resident_mib
from benchmarks.traffic import Traffic
from contracts import ORIGIN, LineageSettings, LogEntry, Position
from feature_repo import AGGREGATES_FILE, write_profiles
from stores import EmbeddedRedis, open_objects, write_archive

PACKAGES = ("apache-beam", "feast", "duckdb", "numpy", "pyarrow")

_REPO = Path(__file__).parents[1] / "feature_repo"
_FACTS = (250_000, 1_000_000)
_USERS = (50_000, 200_000)
_PARTITIONS, _BATCH, _PER_OBJECT = 4, 512, 64
_HOURS = 20
_MS_PER_HOUR = 3_600_000


def rows() -> Iterator[Row]:
    """The figures."""
    for name, what, sizes in (("aggregation", "facts", _FACTS), ("loading", "users", _USERS)):
        held = []
        for size in sizes:
            found = _measured(name, size)
            held.append(found["mib"])
            note = f"{found['cpu_s']:.1f} s of CPU, {found['mib']:.0f} MiB above the start at {found['start_mib']:.0f}"
            yield Row(f"{name} of {size:,} {what}: {what} a second of CPU", size / found["cpu_s"], "1/s", note=note)
        growth = sizes[1] / sizes[0]
        yield at_most(f"{name}: memory above the start, {growth:g} times the {what}", held[1] / held[0], "x", 2.0)


def _measured(name: str, size: int) -> Mapping[str, float]:
    with tempfile.TemporaryDirectory(prefix="backdrop-bench-") as folder:
        place = Path(folder)
        if name == "aggregation":
            _write_log(place, size)
        _write_profiles(place, size if name == "loading" else 1)
        with EmbeddedRedis(place / "redis") as server:
            words = [sys.executable, "-m", "benchmarks.features", name, folder, server.url]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
        found: Mapping[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def _write_log(place: Path, facts: int) -> None:
    """An archive of so many facts, spread evenly over ``_HOURS``."""
    objects, traffic = open_objects(str(place / "objects")), Traffic()
    start_ms = time.time_ns() // 1_000_000 - (_HOURS + 1) * _MS_PER_HOUR
    held: list[list[LogEntry]] = [[] for _ in range(_PARTITIONS)]
    after = [ORIGIN] * _PARTITIONS
    for number in range(-(-facts // _BATCH)):
        at_ms = start_ms + number * _BATCH * _HOURS * _MS_PER_HOUR // facts
        partition = number % _PARTITIONS
        entries = held[partition]
        entries.append(LogEntry(partition, Position(at_ms, 0), traffic.batch(at_ms, _BATCH)))
        if len(entries) == _PER_OBJECT or number >= facts // _BATCH - _PARTITIONS:
            write_archive(objects, entries, after=after[partition])
            after[partition], held[partition] = entries[-1].position, []


def _write_profiles(place: Path, users: int) -> None:
    def at(count: int) -> pa.Array:
        then = datetime.now(UTC) - timedelta(days=2)
        return pa.array([then] * count, pa.timestamp("us", tz="UTC"))

    write_profiles(
        place / "profiles",
        users=pa.table(
            {
                "user": [f"shopper-{number:08d}" for number in range(users)],
                "browse_segment": ["glam"] * users,
                "device": ["mobile"] * users,
                "price_affinity": np.linspace(0, 1, users),
                "event_timestamp": at(users),
            }
        ),
        items=pa.table(
            {
                "item": [f"item-{number}" for number in range(200)],
                "category": ["category-0"] * 200,
                "price": np.arange(200.0),
                "popularity": np.ones(200),
                "url": ["https://shop.example"] * 200,
                "image_url": ["https://shop.example/p.jpg"] * 200,
                "event_timestamp": at(200),
            }
        ),
        placements=pa.table(
            {"placement": ["feed"], "width": [600], "height": [600], "position": ["feed"], "event_timestamp": at(1)}
        ),
    )


def _aggregate(place: Path, redis_url: str) -> None:
    from beam_pipelines.features import AggregateConfig, run

    report = run(
        AggregateConfig(
            redis_url=redis_url,
            rules=LineageSettings("0" * 16, Traffic().d),
            as_of_ms=time.time_ns() // 1_000_000,
            folder=str(place / "profiles"),
            aggregates=str(_REPO / AGGREGATES_FILE),
            partitions=_PARTITIONS,
            archive_uri=str(place / "objects"),
            days=2.0,
        )
    )
    if report.shown == 0:
        message = f"the aggregation counted nothing: {report}"
        raise RuntimeError(message)


def _load(place: Path, redis_url: str) -> None:
    from feature_repo import apply_and_materialize

    apply_and_materialize(
        _REPO,
        redis_url=redis_url,
        features_dir=place / "profiles",
        registry_path=place / "registry.db",
        now=datetime.now(UTC),
    )


def main(name: str, folder: str, redis_url: str) -> None:
    """Do one thing, and print what it took as JSON."""
    import apache_beam
    import duckdb
    import feast.feature_store
    import ibis

    # Importing is no part of the work.
    del apache_beam, duckdb, feast, ibis
    start_mib, start_s = resident_mib(os.getpid()), time.process_time()
    {"aggregation": _aggregate, "loading": _load}[name](Path(folder), redis_url)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        json.dumps({"cpu_s": time.process_time() - start_s, "mib": peak_mib - start_mib, "start_mib": start_mib}) + "\n"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
