"""The demo over many seeds, written up: ``python -m demo.runs --seeds 10 --out docs/demo-runs.md``."""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts import InvalidInputError

TABLE_STARTS = "Click-through rate by policy"
IDENTITY = "batch replay of the event log:"
_MIB = 1 << 20
_COLUMNS = "100"


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run: ``result`` as ``result.json`` holds it, ``tables`` the closing part of what it printed."""

    result: dict[str, Any]
    tables: str

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.result["seed"])

    def lift(self, policy: str, over: str) -> dict[str, Any]:
        """The row of one lift."""
        rows: list[dict[str, Any]] = self.result["report"]["lifts"]
        return next(row for row in rows if (row["policy"], row["over"]) == (policy, over))

    @property
    def identical(self) -> bool:
        """Whether its streaming state was the replayed one."""
        return bool(self.result["report"]["identity"]["identical"])


def run_seed(seed: int, home: Path) -> Run:
    """Run ``backdrop demo`` as a newcomer would, in a process of its own.

    A run whose states differ ends with an error, too, but has its closing table: it is a result.

    Raises:
        CalledProcessError: if it does not come to its end; what it printed is on this process's output already.
    """
    command = [sys.executable, "-m", "backdrop", "demo", "--seed", str(seed), "--home", str(home)]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": _COLUMNS}) as child:
        for line in child.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line.rstrip())
    if child.returncode and not any(f"{IDENTITY} DIFFERENT" in line for line in lines):
        raise subprocess.CalledProcessError(child.returncode, command)
    result = json.loads((home / "result.json").read_text(encoding="utf-8"))
    return Run(result, closing_part(lines))


def closing_part(lines: Sequence[str]) -> str:
    """The lines from the first table to the identity check.

    Raises:
        InvalidInputError: if either is not there.
    """
    first = next((place for place, line in enumerate(lines) if TABLE_STARTS in line), None)
    last = next((place for place, line in enumerate(lines) if IDENTITY in line), None)
    if first is None or last is None:
        message = f"the {len(lines)} lines that the demo printed have no closing table: run it again"
        raise InvalidInputError(message)
    return "\n".join(lines[first : last + 1])


def summary(runs: Sequence[Run]) -> str:
    """The Markdown page: what held how often, a row a seed, phases, closing tables."""
    above = sum(_positive(run.lift("linucb", "random")["low"]) for run in runs)
    better = sum(_positive(run.lift("random", "original")["lift"]) for run in runs)
    clearly = sum(_positive(run.lift("random", "original")["low"]) for run in runs)
    same = sum(run.identical for run in runs)
    lines = [
        f"# The demo, {len(runs)} seeds",
        "",
        f"Made by `make demo-runs` on {os.cpu_count()} cores, Python {platform.python_version()}.",
        "",
        f"- `linucb` above `random`, interval above zero: {above} of {len(runs)}",
        f"- `random` above `original`: {better} of {len(runs)} (interval above zero: {clearly})",
        f"- streaming state identical to the batch replay: {same} of {len(runs)}",
        "",
        "| seed | decisions | per second | event to served model, mean / p95 | random over original "
        "| linucb over random | truth | closed windows | facts | identical |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_row(run) for run in runs),
        "",
        "## Wall time (s) and peak memory (MiB) of each phase",
        "",
        "Memory is the sum of resident sets of all processes of the run; shared pages count in each.",
        "",
        *_phases(runs),
        "",
        "## Closing tables",
    ]
    for run in runs:
        lines += ["", f"### Seed {run.seed}", "", "```", run.tables, "```"]
    return "\n".join(lines) + "\n"


def _row(run: Run) -> str:
    traffic, identity = run.result["traffic"], run.result["report"]["identity"]
    random, linucb = run.lift("random", "original"), run.lift("linucb", "random")
    cells = (
        run.seed,
        f"{traffic['decisions']:,}",
        f"{traffic['decisions_per_s']:.0f}",
        f"{_shown(traffic['lag_mean_s'], '.1f')} s / {_shown(traffic['lag_p95_s'], '.1f')} s",
        _interval(random),
        _interval(linucb),
        _shown(linucb["truth"], "+.0%"),
        identity["windows_closed"],
        f"{identity['facts']:,}",
        "yes" if run.identical else "NO",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _interval(row: dict[str, Any]) -> str:
    note = "" if row["significant"] else ", not significant"
    lift, low, high = (_shown(row[name], "+.0%") for name in ("lift", "low", "high"))
    return f"{lift} ({low} to {high}{note})"


def _shown(value: float | None, form: str) -> str:
    """A number, or a dash where the result holds none."""
    return "–" if value is None else format(value, form)


def _positive(value: float | None) -> bool:
    return value is not None and value > 0


def _phases(runs: Sequence[Run]) -> list[str]:
    names = [phase["name"] for phase in runs[0].result["phases"]]
    lines = ["| seed | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for run in runs:
        found = {phase["name"]: phase for phase in run.result["phases"]}
        cells = [f"{found[name]['wall_s']:.1f} / {found[name]['peak_bytes'] / _MIB:.0f}" for name in names]
        lines.append(f"| {run.seed} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Run the seeds one after the other; the page is written anew after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many, from 1")
    parser.add_argument("--out", type=Path, default=Path("docs/demo-runs.md"))
    parser.add_argument("--home", type=Path, default=Path(".backdrop/demo-runs"))
    words = parser.parse_args()
    runs: list[Run] = []
    for seed in range(1, words.seeds + 1):
        runs.append(run_seed(seed, words.home))
        words.out.write_text(summary(runs), encoding="utf-8")


if __name__ == "__main__":
    main()
