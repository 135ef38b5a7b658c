"""``python -m tests.chaos``: rounds of chaos under traffic; a table as it goes, and in docs/reliability-learner.md."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.beam_pipelines.processes import ROOT, find_prism
from tests.chaos.happenings import KILLS, SCENARIOS
from tests.chaos.report import HEAD, line, replaced
from tests.chaos.rounds import Round, kinds, play
from tests.chaos.world import FULL, SHORT, World

_FAULTS_SHOWN = 5


def main() -> int:
    """Play the rounds asked for; status 1 if any of them found a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=2_000, help="facts a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="short windows")
    parser.add_argument("--only", default="", help="comma between: only happenings named like this")
    parser.add_argument("--folder", type=Path, help="keep Redis, archive and the learners' log there")
    parser.add_argument("--no-page", action="store_true", help="leave docs/reliability-learner.md alone")
    asked = parser.parse_args()
    prism = find_prism()
    if not prism:
        sys.stderr.write("no Prism binary: run make setup, or name one in BACKDROP_PRISM\n")
        return 2
    happenings = kinds(asked.rounds, asked.seed)
    if asked.only:
        words = asked.only.split(",")
        every = [found for found in (*KILLS, *SCENARIOS) if any(word in found.name for word in words)]
        happenings = every[: asked.rounds]
    rng = random.Random(asked.seed)
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        sys.stdout.write(HEAD)
        with World(folder, SHORT if asked.short else FULL, prism, rate=asked.rate, seed=asked.seed) as world:
            began_s = time.monotonic()
            for happening in happenings:
                rounds.append(play(world, happening, rng))
                sys.stdout.write(line(len(rounds), rounds[-1]))
                sys.stdout.writelines(f"    {fault}\n" for fault in rounds[-1].faults[:_FAULTS_SHOWN])
                sys.stdout.flush()
            seconds = time.monotonic() - began_s
    sys.stdout.write(f"{len(rounds)} rounds in {seconds:.0f} s\n")
    if not (asked.no_page or asked.short or asked.only):
        command = f'make chaos ARGS="--rounds {asked.rounds} --rate {asked.rate} --seed {asked.seed}"'
        page = ROOT / "docs" / "reliability-learner.md"
        page.write_text(replaced(page.read_text(encoding="utf-8"), rounds, command, seconds), encoding="utf-8")
    return int(any(found.faults for found in rounds))


if __name__ == "__main__":
    sys.exit(main())
