"""Rounds: runs that are killed at random steps, one after the other, then one that is not."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import redis

from beam_pipelines.generate import GenerateConfig
from beam_pipelines.generate.manifest import write_part
from beam_pipelines.generate.own_objects import LEASE_MS, remove_dead
from contracts import ManualClock, SystemClock
from stores import EmbeddedRedis, FileObjectStore, connect
from stores.connect import command
from tests.beam_pipelines.generate.shop import open_shop, row
from tests.beam_pipelines.generate.test_merge import row as other_row
from tests.chaos_generate.nursery import Nursery
from tests.chaos_generate.shelf import Shelf, faults_of_end, faults_of_rest, report_in
from tests.chaos_generate.steps import AFTER, BEFORE, HALF, KINDS, WRITES, Death
from tests.generation.studio import encoded, photo_pixels

SIGKILLED = -9
SLOTS = ("square", "banner")
# So many small parts that the run of the round has a merge to do.
_EARLIER = 62
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did and found; ``faults`` empty: all is as if nothing had happened.

    ``deaths`` are those that came about; ``stored`` and ``rows`` what there was when the last run began, ``made``
    what it stored, ``again`` what it painted though the picture was stored: its row was not.
    """

    deaths: tuple[Death, ...]
    stored: int
    rows: int
    made: int
    again: int
    faults: tuple[str, ...]
    elsewhere: bool = False


class World:
    """A shop, a Redis, a process to fork runs from, and what a run that nobody kills leaves."""

    def __init__(self, folder: Path, server: EmbeddedRedis, products: int = 3) -> None:
        self._folder, self._server, self._nursery = folder, server, Nursery()
        items = [f"stool{number}" for number in range(products)]
        self.slots = tuple((item, slot) for item in items for slot in SLOTS)
        (folder / "shop").mkdir()
        for number, item in enumerate(items):
            # With an outline of their own: no network is loaded, which would be most of a run's time.
            (folder / "shop" / f"{item}.png").write_bytes(_photo(number))
        self.config = open_shop(
            folder / "shop",
            [*(row(item) for item in items), row("gone", image_uri="missing.png")],
            redis_url=server.url,
            rows_per_part=6,
            batch=3,
        )
        self._number = 0
        self._earlier = folder / "earlier"
        objects = FileObjectStore(self._earlier)
        for number in range(_EARLIER):
            write_part(objects, [other_row(number)])
        # One picture stands for all of them.
        objects.put(other_row(0).path, b"x")

    def __enter__(self) -> Self:
        self._nursery.__enter__()
        self.client: redis.Redis = connect(self._server.url)
        config, folder = self.place()
        assert self._nursery.run(config, folder) == 0
        self.whole = self.shelf(config)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._nursery.__exit__()

    def place(self) -> tuple[GenerateConfig, Path]:
        """A store with small parts of earlier runs and nothing else, an empty index, a folder for a run."""
        self._number += 1
        command(self.client, "FLUSHALL")
        config = replace(self.config, objects_uri=str(self._folder / f"objects-{self._number}"))
        shutil.copytree(self._earlier, config.objects_uri)
        return config, Path(tempfile.mkdtemp(dir=self._folder))

    def shelf(self, config: GenerateConfig) -> Shelf:
        """What is there."""
        return Shelf.of(config, self.client, self.slots)

    def play(self, deaths: tuple[Death, ...], *, elsewhere: bool = False) -> Round:
        """Kill runs in one store at each of ``deaths`` in turn, then let one finish.

        With ``elsewhere`` all passes through the store, as for workers on other machines; what the killed runs put
        there for these must stay for a week, and then go.
        """
        config, folder = self.place()
        if elsewhere:
            config = replace(config, runner_options=("--runner=FnApiRunner", "--direct_running_mode=in_memory"))
        faults: list[str] = []
        came: list[Death] = []
        for death in deaths:
            status = self._nursery.run(config, folder, death)
            if status == SIGKILLED:
                came.append(death)
            elif status:
                faults.append(f"{death.name}: exit status {status}")
            faults += faults_of_rest(config, self.shelf(config), self.whole)
        before = self.shelf(config)
        (folder / "report.json").unlink(missing_ok=True)
        status = self._nursery.run(config, folder)
        if status:
            error = folder / "error.txt"
            told = error.read_text() if error.exists() else "no word"
            return Round(tuple(came), 0, 0, 0, 0, (*faults, f"the last run ended with {status}: {told}"))
        report, after = report_in(folder), self.shelf(config)
        faults += faults_of_end(before, after, self.whole, report)
        faults += _faults_of_plans(config, len(came) if elsewhere else 0)
        again = report.planned - report.made
        return Round(tuple(came), before.pictures, before.existing, report.made, again, tuple(faults), elsewhere)


def _faults_of_plans(config: GenerateConfig, runs: int) -> Iterator[str]:
    objects = FileObjectStore(Path(config.objects_uri))
    left = {path.split("/")[1] for path in objects.list("plans/")}
    # A run that was killed before it had put anything there has left nothing.
    if len(left) > runs:
        yield f"{len(left)} runs have left objects of their own, {runs} were killed"
    clock = ManualClock(SystemClock().now_ms() + LEASE_MS - _MINUTE_MS)
    if remove_dead(objects, clock):
        yield "what a killed run left was removed before its lease ran out"
    clock.advance(2 * _MINUTE_MS)
    if remove_dead(objects, clock) != len(left) or list(objects.list("plans/")):
        yield "what killed runs left was not removed"


def _photo(number: int) -> bytes:
    rgb = photo_pixels(200, 200, (150, 30 + 40 * number, 60))
    alpha = np.zeros((200, 200, 1), np.uint8)
    alpha[40:160, 50:150] = 255
    return encoded(np.concatenate([rgb, alpha], axis=2))


def drawn(rng: random.Random, kind: str) -> Death:
    """A death at a step of a kind, early enough that most runs come to it."""
    most = {"picture stored": 8, "painting": 4, "small part removed": 30, "cut-out": 2, "cut-out read": 2}.get(kind, 1)
    moments = (BEFORE, HALF, AFTER) if kind in WRITES else (BEFORE, AFTER)
    return Death(kind, rng.randint(1, most), rng.choice(moments))


def kinds(rounds: int, rng: random.Random) -> list[str]:
    """Kinds of first deaths: all in turn, in random order."""
    return [kind for _ in range(rounds // len(KINDS) + 1) for kind in rng.sample(KINDS, len(KINDS))][:rounds]
