"""``python -m tests.chaos_generate``: kill runs of the generation job; writes docs/reliability-generate.md."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from stores import EmbeddedRedis
from tests.beam_pipelines.processes import ROOT
from tests.chaos_generate.outages import HEAD as OUTAGES_HEAD
from tests.chaos_generate.outages import Endured, play
from tests.chaos_generate.outages import line as outage_line
from tests.chaos_generate.report import HEAD, line, rounds_table
from tests.chaos_generate.rounds import Round, World, drawn, kinds
from tests.chaos_generate.steps import KINDS
from tests.chaos_serve.report import replaced

_FAULTS_SHOWN = 5
_MOST_KILLS = 4


def main() -> int:
    """Play the rounds asked for; status 1 if any of them found a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos_generate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=33)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-page", action="store_true", help="leave docs/reliability-generate.md alone")
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    rounds: list[Round] = []
    sys.stdout.write(HEAD)
    with tempfile.TemporaryDirectory() as name, EmbeddedRedis(Path(name) / "redis") as server:
        began_s = time.monotonic()
        with World(Path(name), server) as world:
            for kind in kinds(asked.rounds, rng):
                more = [rng.choice(KINDS) for _ in range(rng.randrange(_MOST_KILLS))]
                deaths = tuple(drawn(rng, each) for each in (kind, *more))
                rounds.append(world.play(deaths, elsewhere=rng.random() < 1 / 3))
                sys.stdout.write(line(len(rounds), rounds[-1]))
                sys.stdout.writelines(f"    {fault}\n" for fault in rounds[-1].faults[:_FAULTS_SHOWN])
                sys.stdout.flush()
        seconds = time.monotonic() - began_s
        outages: list[Endured] = []
        sys.stdout.write(f"\n{OUTAGES_HEAD}")
        for endured in play(Path(name) / "outages"):
            outages.append(endured)
            sys.stdout.write(outage_line(endured))
            sys.stdout.flush()
    command = f'make chaos-generate ARGS="--rounds {asked.rounds} --seed {asked.seed}"'
    table = rounds_table(rounds, command, seconds)
    sys.stdout.write(table.partition("\n")[0] + "\n")
    if not asked.no_page:
        page = ROOT / "docs" / "reliability-generate.md"
        text = replaced(page.read_text(encoding="utf-8"), "rounds", table)
        told = OUTAGES_HEAD + "".join(map(outage_line, outages))
        page.write_text(replaced(text, "outages", told), encoding="utf-8")
    return int(any(found.faults for found in rounds) or not all(endured.same for endured in outages))


if __name__ == "__main__":
    sys.exit(main())
