"""What publishing user activity costs the learner: backlogs drained with and without it, in turn."""

import statistics
import struct
import zlib
from collections.abc import Iterator

from benchmarks.drain import Drained, drain, fill
from benchmarks.job import bench
from benchmarks.report import Row
from contracts import (
    ACTIVITY_FEATURES,
    ACTIVITY_VIEW,
    PlannedEntity,
    PlannedFeature,
    PlannedView,
    ReadPlan,
    WritePlan,
)
from stores.connect import command, connect

PACKAGES = ("apache-beam", "numpy", "pyarrow")

FACTS = 1_000_000
ROUNDS = 3


def plan() -> WritePlan:
    """A write plan with the view; any four bytes do as a field's name."""
    features = tuple(
        PlannedFeature(name, struct.pack("<I", zlib.crc32(name.encode())), kind)
        for name, kind in ACTIVITY_FEATURES.items()
    )
    view = PlannedView(ACTIVITY_VIEW, 900_000, features)
    return WritePlan(ReadPlan("benchmark", (PlannedEntity("user", "user", "STRING", (view,)),)))


def rows() -> Iterator[Row]:
    """The figures."""
    written = plan().to_json().decode()
    found: dict[str, list[Drained]] = {"": [], written: []}
    users = 0
    for _ in range(ROUNDS):
        for activity, drained in found.items():
            with bench() as place:
                drained.append(drain(place, fill(place, FACTS), activity=activity))
                if activity:
                    with connect(place.url) as client:
                        # Feast's keys end with the project's name, ours begin with "bd:".
                        users = sum(not key.startswith(b"bd:") for key in command(client, "KEYS", "*"))
    off, on = (statistics.median(each.rate for each in drained) for drained in found.values())
    note = f"d = 32, 50 arms; medians of {ROUNDS} rounds in turn"
    yield Row(f"drain {FACTS:,} facts without activity", off, "facts/s", note=note)
    yield Row(f"drain {FACTS:,} facts with activity", on, "facts/s", note=f"{users:,} rows online")
    yield Row("with activity over without", on / off, "times")
