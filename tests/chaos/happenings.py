"""What may happen to a learner, each at a random moment of its traffic."""

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contracts import ORIGIN
from stores.archive import archived_through
from stores.connect import command
from tests.beam_pipelines.processes import ROOT, eventually, workers
from tests.chaos.world import PARTITIONS, World

FAST_CLOCK = ROOT / "tests" / "chaos" / "fast_clock"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens; ``loses``: entries that the log had answered for may be gone for good."""

    name: str
    act: Callable[[World, random.Random], None]
    loses: bool = False


def kill_learner(world: World, rng: random.Random) -> None:
    """Kill the learner, wait a little, start another."""
    world.kill(world.learner)
    world.pass_s(rng.uniform(0.0, 2.0))
    world.start()


def kill_worker(world: World, _: random.Random) -> None:
    """Kill the process that holds the job."""
    world.kill_below(worker=True)


def kill_prism(world: World, _: random.Random) -> None:
    """Kill the runner."""
    world.kill_below(prism=True)


def kill_both(world: World, _: random.Random) -> None:
    """Kill runner and learner at once."""
    world.kill_below(prism=True)
    kill_learner(world, random.Random(0))


def restart_redis(world: World, _: random.Random) -> None:
    """End Redis in order and start it again."""
    world.server.restart()


def kill_redis(world: World, fsync: str) -> None:
    """Kill Redis and start it again."""
    command(world.client, "CONFIG", "SET", "appendfsync", fsync)
    world.server.kill()
    world.server.start()


def two_learners(world: World, rng: random.Random) -> None:
    """Run a second learner beside the first, for a while; then the first is killed."""
    first = world.learner
    world.start()
    world.until_running()
    world.pass_s(rng.uniform(2.0, 5.0))
    world.kill(first)


def stop_for_long(world: World, _: random.Random) -> None:
    """Let no learner run for longer than window, attribution window and grace."""
    world.end()
    form = world.form
    world.pass_s((form.window_ms + form.attribution_ms + 2 * form.grace_ms) / 1000)
    world.start()


def trim(world: World, rng: random.Random) -> None:
    """Trim the log of everything that is archived, though a learner that starts must read it; then let one start."""
    world.end()
    world.pass_s(rng.uniform(0.5, 2.0))
    trimmed = sum(
        world.log.trim(partition, archived_through(world.objects, partition, ORIGIN)) for partition in range(PARTITIONS)
    )
    assert trimmed > 0, "nothing was archived"
    world.start()


def idle_partition(world: World, _: random.Random) -> None:
    """Let one partition have nothing for longer than an attribution window, and kill the worker meanwhile."""
    world.traffic.partitions = tuple(range(1, PARTITIONS))
    world.pass_s((world.form.window_ms + world.form.attribution_ms) / 2000)
    world.kill_below(worker=True)
    world.pass_s((world.form.window_ms + world.form.attribution_ms) / 2000)


def fast_clock(world: World, _: random.Random) -> None:
    """Run a learner whose clock is ten seconds fast, for longer than a window."""
    marks = world.folder / "clocks"
    marks.mkdir(exist_ok=True)
    world.end()
    world.start({"PYTHONPATH": f"{FAST_CLOCK}:{ROOT}", "CHAOS_CLOCKS": str(marks)})
    world.until_running()
    pids = {path.name for path in marks.iterdir()}
    assert {str(pid) for pid in workers(world.learner.pid)} <= pids, "the worker's clock is right"
    world.pass_s(world.form.window_ms / 1000)


def flush(world: World, _: random.Random) -> None:
    """Empty Redis."""
    command(world.client, "FLUSHALL")


def flush_at_rest(world: World, _: random.Random) -> None:
    """Empty Redis when nothing is appended and all is archived: the learner must notice, and nothing be lost."""
    world.traffic.stop()
    before = world.store.dataset()
    ends = {partition: world.log.last(partition) for partition in range(PARTITIONS)}
    eventually(
        "everything is archived",
        lambda: all(archived_through(world.objects, partition, ORIGIN) >= end for partition, end in ends.items()),
    )
    command(world.client, "FLUSHALL")
    eventually("the learner notices", lambda: world.store.dataset() not in (before, None))
    world.traffic.start()


def older_dataset(world: World, rng: random.Random) -> None:
    """Copy what Redis has on disk, go on, kill it and start it with the copy."""
    data, copy = world.folder / "redis", world.folder / "older"
    _copy(data, copy)
    world.pass_s(rng.uniform(1.0, 4.0))
    world.server.kill()
    shutil.rmtree(data)
    copy.rename(data)
    world.server.start()


def _copy(data: Path, copy: Path) -> None:
    for _ in range(10):
        shutil.rmtree(copy, ignore_errors=True)
        try:
            shutil.copytree(data, copy)
        except (shutil.Error, FileNotFoundError):
            # Redis was writing its append-only file anew.
            time.sleep(0.2)
        else:
            return
    message = f"{data} could not be copied"
    raise AssertionError(message)


KILLS = (
    Happening("learner killed", kill_learner),
    Happening("worker killed", kill_worker),
    Happening("Prism killed", kill_prism),
    Happening("learner and Prism killed", kill_both),
    Happening("Redis restarted", restart_redis),
    Happening("Redis killed, appendfsync everysec", lambda world, _: kill_redis(world, "everysec")),
    Happening("Redis killed, appendfsync always", lambda world, _: kill_redis(world, "always")),
)
SCENARIOS = (
    Happening("two learners at once", two_learners),
    Happening("no learner for longer than the attribution window", stop_for_long),
    Happening("log trimmed of all that is archived", trim),
    Happening("a partition idle, worker killed", idle_partition),
    Happening("learner's clock 10 s fast", fast_clock),
    Happening("Redis emptied under traffic", flush, loses=True),
    Happening("Redis emptied at rest", flush_at_rest),
    Happening("Redis restarted with an older dataset", older_dataset, loses=True),
)
