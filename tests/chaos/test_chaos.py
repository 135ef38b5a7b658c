"""The short form of ``make chaos``: one history, short windows, one happening of each kind; in the end all agrees."""

import random
from pathlib import Path

import pytest

from tests.beam_pipelines.processes import prism_path
from tests.chaos import happenings
from tests.chaos.happenings import Happening
from tests.chaos.rounds import play
from tests.chaos.world import SHORT, World

ROUNDS = (
    Happening("worker killed", happenings.kill_worker),
    Happening("Redis emptied under traffic", happenings.flush, loses=True),
    Happening("log trimmed of all that is archived", happenings.trim),
    Happening("Redis restarted with an older dataset", happenings.older_dataset, loses=True),
    Happening("Redis emptied at rest", happenings.flush_at_rest),
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whatever_happens_the_stream_is_the_replay_and_nothing_is_lost_unsaid(tmp_path: Path) -> None:
    rng = random.Random(1)
    with World(tmp_path, SHORT, prism_path(), rate=500, seed=1) as world:
        for happening in ROUNDS:
            found = play(world, happening, rng)
            assert found.faults == (), found
            assert found.windows_closed > 0
            assert found.facts > 0
        world.end()
