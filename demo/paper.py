"""``backdrop demo --world paper``: a world like the paper's, in process, with a million decisions or more."""

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from contracts import TrafficPolicy
from demo.outcomes import Outcomes, tally
from demo.report import Report, make_report
from demo.shop import CATALOGUE, open_shop
from demo.simulation import Simulation, simulate
from demo.tables import print_closing
from demo.world import PAPER_WORLD
from feature_repo import load_context_schema

CONTEXT = Path(__file__).resolve().parent.parent / "feature_repo" / "context.yaml"
DECISIONS = 2_000_000
SHOPPERS = 60_000
ALPHA = 0.02
_PLAIN_LINES = 10


@dataclass(frozen=True, slots=True)
class PaperConfig:
    """What to run: the seed, how many decisions, the shares of the policies, the catalogue's folder."""

    seed: int = 1
    decisions: int = DECISIONS
    split: tuple[tuple[str, float], ...] = (("original", 1 / 3), ("random", 1 / 3), ("linucb", 1 / 3))
    catalogue: Path = CATALOGUE
    context: Path = CONTEXT
    shoppers: int = SHOPPERS


def run_paper(config: PaperConfig, console: Console) -> Report:
    """Run it, print the closing table, return the report.

    Raises:
        InvalidInputError: if the catalogue, context schema or split cannot be used.
    """
    shop = open_shop(config.catalogue, world="paper", shoppers=config.shoppers, seed=config.seed)
    encoder = shop.encoder(load_context_schema(config.context))
    traffic = TrafficPolicy(split=dict(config.split), salt=f"paper-{config.seed}")
    settings = Simulation(decisions=config.decisions, alpha=ALPHA)
    console.print(
        f"{config.decisions:,} decisions in process, {len(shop.products)} products, {len(shop.prompts)} prompts, "
        f"{len(shop.population):,} shoppers, contexts of {encoder.d} entries (no HTTP, no event log)",
        highlight=False,
    )
    started = time.monotonic()
    with _Watcher(console, config.decisions) as watcher:
        outcomes = simulate(
            shop.world, shop.population, shop.products, encoder, traffic, settings, shop.traffic_rng(), watcher.watch
        )
    wall_s = time.monotonic() - started
    report = make_report(tally(outcomes, shop.world, [name for name, _ in config.split]), shop.report_rng())
    print_closing(console, report, "paper", PAPER_WORLD)
    console.print(f"{config.decisions:,} decisions in {wall_s:.0f} s ({config.decisions / wall_s:,.0f}/s)")
    return report


class _Watcher:
    """A progress bar; where there is no terminal, a line at each tenth."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._said = 0
        self._bar = Progress(
            TextColumn("simulating"),
            BarColumn(bar_width=40),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("simulating", total=total)

    def __enter__(self) -> "_Watcher":
        self._bar.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._bar.stop()

    def watch(self, outcomes: Outcomes, done: int) -> None:
        """Show how far it is."""
        del outcomes
        self._bar.update(self._task, completed=done)
        tenth = done * _PLAIN_LINES // self._total
        if not self._console.is_terminal and tenth > self._said:
            self._said = tenth
            self._console.print(f"{done:,} of {self._total:,} decisions", highlight=False)
