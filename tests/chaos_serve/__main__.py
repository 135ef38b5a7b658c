"""``python -m tests.chaos_serve``: every fault, then load while Redis restarts; writes docs/reliability.md."""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.chaos_serve import client_faults, data_faults, in_process, store_faults
from tests.chaos_serve.client_faults import SETTINGS, many_connections, under_traffic
from tests.chaos_serve.load import load
from tests.chaos_serve.place import Fault, Place
from tests.chaos_serve.report import FAULTS_HEAD, Tried, faults_table, line, load_table, replaced
from tests.serving.world import ROOT

# The bulk that the test suite does not do.
BULK = (
    Fault("10,000 idle connections", "served beside them", partial(many_connections, wanted=10_000, limit=12_000)),
    Fault(
        "10,000 connections where 2,000 may be",
        "idle ones make room",
        partial(many_connections, wanted=10_000, limit=2_000),
    ),
    Fault("100,000 random bodies in process", "4xx", partial(in_process.bodies, count=100_000)),
    Fault(
        "5,000 random bodies over the socket",
        "4xx",
        lambda place: under_traffic(place, partial(client_faults.bodies, count=5_000)),
    ),
    Fault(
        "5,000 random byte streams",
        "400",
        lambda place: under_traffic(place, partial(client_faults.garbage, streams=5_000)),
    ),
    Fault("3,000 damaged values in Redis", "left out, counted", partial(data_faults.values, rounds=3_000)),
    Fault("2,000 damaged packs", "refused, counted", partial(data_faults.packs, flipped=2_000)),
)


def main() -> int:
    """Play the faults, then the load; status 1 if anything is not as promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos_serve", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load (0: none)")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between restarts of Redis")
    parser.add_argument("--only", default="", help="only faults whose name holds this word; no page")
    parser.add_argument("--no-faults", action="store_true", help="only the load")
    parser.add_argument("--no-page", action="store_true", help="leave docs/reliability.md alone")
    asked = parser.parse_args()
    page, failed = ROOT / "docs" / "reliability.md", False
    with tempfile.TemporaryDirectory() as folder:
        if not asked.no_faults:
            tried = _play_all(Path(folder), asked.only)
            failed = any(found.failed for found in tried)
            if not (asked.no_page or asked.only):
                _write(page, "faults", faults_table(tried, "make chaos-serve"))
        if asked.minutes and not asked.only:
            found = load(Path(folder) / "load", seconds=60 * asked.minutes, every_s=asked.every)
            table = load_table(found, f'make chaos-serve ARGS="--minutes {asked.minutes:g} --every {asked.every:g}"')
            sys.stdout.write(table)
            failed = failed or bool(found.faults)
            if not asked.no_page:
                _write(page, "load", table)
    return int(failed)


def _play_all(folder: Path, only: str) -> list[Tried]:
    tried: list[Tried] = []
    sys.stdout.write(FAULTS_HEAD)
    stores = (*store_faults.FAULTS, *data_faults.FAULTS)
    for name, faults, settings in (("stores", stores, {}), ("clients", (*client_faults.FAULTS, *BULK), SETTINGS)):
        chosen = [fault for fault in faults if only in fault.name]
        if not chosen:
            continue
        with Place(folder / name, **settings) as place:
            for fault in chosen:
                tried.append(_play(place, fault))
                sys.stdout.write(line(tried[-1]))
                sys.stdout.flush()
    return tried


def _play(place: Place, fault: Fault) -> Tried:
    try:
        told = fault.play(place)
        defects = place.defects()
    except AssertionError as error:
        return Tried(fault.name, fault.expected, str(error)[:400], failed=True)
    if defects:
        return Tried(fault.name, fault.expected, f"{told}; but its log tells of {defects[0][:200]}", failed=True)
    return Tried(fault.name, fault.expected, told)


def _write(page: Path, name: str, text: str) -> None:
    page.write_text(replaced(page.read_text(encoding="utf-8"), name, text), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
