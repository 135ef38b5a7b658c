"""Rounds: traffic, something that happens at a random moment, traffic, rest; then everything must agree."""

import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from beam_pipelines.learn.sight import ENTRIES_LOST
from beam_pipelines.replay import compare
from contracts import ORIGIN, BackdropError, Position
from stores import union_entries
from tests.chaos.happenings import KILLS, SCENARIOS, Happening
from tests.chaos.known import Appended
from tests.chaos.world import PARTITIONS, PATIENCE_S, World

# Entries younger than this when Redis lost them may be lost unseen: the learner's parent looks twice a second.
_UNSEEN_MS = 3_000

Kept = Mapping[int, set[Position]]


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did and found; ``faults`` empty: everything agrees.

    ``known`` (least, most): facts that count by the definitions, of all entries confirmed and not lost.
    """

    name: str
    moment_s: float
    recovered_s: float
    appended: int
    windows_closed: int
    facts: int
    known: tuple[int, int]
    lost: int
    faults: tuple[str, ...]


def kinds(count: int, seed: int) -> list[Happening]:
    """What happens in ``count`` rounds: each thing once, in random order, then kills and restarts again."""
    rng = random.Random(seed)
    every = [*KILLS, *SCENARIOS]
    order = rng.sample(every, len(every))
    return [*order[:count], *(rng.choice(KILLS) for _ in range(count - len(order)))]


def play(world: World, happening: Happening, rng: random.Random) -> Round:
    """Play one round."""
    before = world.traffic.known.facts
    world.traffic.start()
    world.until_running()
    world.until_folding()
    moment_s = rng.uniform(*world.form.before_s)
    world.pass_s(moment_s)
    moment_ms, acted_s = world.log.clock_ms(), time.monotonic()
    happening.act(world, rng)
    world.until_folding()
    recovered_s = time.monotonic() - acted_s
    world.pass_s(world.form.after_s)
    world.traffic.stop()
    world.traffic.partitions = tuple(range(PARTITIONS))
    appended = world.traffic.known.facts - before
    try:
        outcome = compare(world.store, world.log, world.objects, patience_s=PATIENCE_S)
    except BackdropError as error:
        return Round(happening.name, moment_s, recovered_s, appended, 0, 0, (0, 0), 0, (str(error),))
    lost = list(_lost(world, happening, moment_ms))
    low, high = world.traffic.known.counting(world.form.settings)
    faults = [*outcome.differences, *(fault for fault, _ in lost if fault)]
    if not low <= outcome.facts <= high:
        faults.append(f"{outcome.facts} facts counted, {low} to {high} of those confirmed count")
    return Round(
        happening.name,
        moment_s,
        recovered_s,
        appended,
        outcome.windows_closed,
        outcome.facts,
        (low, high),
        sum(len(entry.rows) for _, entry in lost if entry is not None),
        tuple(faults),
    )


def _lost(world: World, happening: Happening, moment_ms: int) -> Iterator[tuple[str, Appended | None]]:
    """Confirmed entries that no store has, each with what is wrong about that; they are known no more."""
    kept: Kept = {
        partition: {entry.position for entry in union_entries(world.objects, world.log, partition, ORIGIN)}
        for partition in range(PARTITIONS)
    }
    told = list(_told(world))
    for partition, after, upto in told:
        found = [position for position in kept[partition] if after < position <= upto]
        if found:
            yield f"told lost: partition {partition}, {after} to {upto}, yet {len(found)} entries are there", None
    missing = world.traffic.known.missing(kept)
    world.traffic.known.forget(missing)
    for entry in missing:
        where = f"entry {entry.position} of partition {entry.partition}"
        if not happening.loses:
            yield f"{where} was confirmed and is in no store", entry
        elif entry.position.append_ms < moment_ms - _UNSEEN_MS and not any(
            partition == entry.partition and after < entry.position <= upto for partition, after, upto in told
        ):
            yield f"{where} is in no store, and nobody said so", entry
        else:
            yield "", entry


def _told(world: World) -> Iterator[tuple[int, Position, Position]]:
    """Ranges (partition, after, upto) that learners said were lost."""
    for letter in world.letters.latest(1_000):
        if letter.reason == ENTRIES_LOST:
            detail = json.loads(letter.detail)
            yield detail["partition"], Position.parse(detail["after"]), Position.parse(detail["upto"])
