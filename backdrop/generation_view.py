"""``backdrop generate`` on the terminal: progress while pictures are made, then what came of it."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from beam_pipelines.generate import Estimate, GenerateConfig, PlanCounts

_UPKEEP = {
    "parts_merged": "small parts of the manifest merged",
    "merged_parts": "large parts made of them",
    "dead_runs_removed": "runs that had been killed: what they left in the object store was removed",
}


def generate_with_progress(config: "GenerateConfig", prices_file: Path | None = None) -> None:
    """Run the batch job and print what it did; the bar is for terminals, others get a log line every 30 s.

    A dry run also prints what the run would take, from the price file if there is one.

    Raises:
        InvalidInputError: if the price file cannot be used; it is read before anything is done.
    """
    from beam_pipelines.generate import estimate, progress_bar, progress_log, read_prices, run

    console = Console()
    prices = None if prices_file is None or not config.dry_run else read_prices(prices_file)
    if prices is not None:
        prices.rate(config.backend, config.backend_options)
    with ExitStack() as stack:
        show = stack.enter_context(progress_bar(console)) if console.is_terminal else progress_log()
        report = run(config, show)
    made = f"{report.planned:,} pictures would be made" if config.dry_run else f"{report.made:,} pictures made"
    lines = [
        f"{made}, {report.skipped:,} existed, {report.rejected:,} refused by the quality gate, "
        f"{report.published:,} in the creative index"
    ]
    lines += [f"{count:,} products left out: {reason}" for reason, count in sorted(report.dead_letters.items())]
    lines += [f"{count:,} {_UPKEEP.get(name, name)}" for name, count in report.upkeep.items()]
    if config.dry_run:
        lines += _counted(report.counts)
        if prices is None:
            lines.append("for hours, storage and money, set generate.prices to a price file (docs/generate.md)")
        else:
            lines += _estimated(estimate(report.counts, prices, config.backend, config.backend_options))
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _counted(counts: "PlanCounts") -> list[str]:
    places = ", ".join(f"{name} {number:,}" for name, number in counts.by_placement.items())
    return [
        f"{counts.products:,} products, {counts.painted:,} pictures to paint, {counts.pixels / 1e6:,.1f} megapixels",
        *([f"by placement: {places}"] if places else []),
    ]


def _estimated(found: "Estimate") -> list[str]:
    currency, total = found.currency, found.compute + found.gib_month
    return [
        f"estimated: {found.hours:,.2f} hours of {found.rate.machine} = {found.compute:,.2f} {currency}, "
        f"{found.gib:,.2f} GiB stored = {found.gib_month:,.2f} {currency} a month, "
        f"{total:,.2f} {currency} with the first month",
        f"speed: {found.rate.source}",
        *([f"prices: {found.note}"] if found.note else []),
    ]
