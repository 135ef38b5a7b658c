"""``backdrop generate`` on the terminal: a progress bar while pictures are made, then what came of it."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from beam_pipelines.generate import GenerateConfig


def generate_with_progress(config: "GenerateConfig") -> None:
    """Run the batch job and print what it did; the bar is for terminals only."""
    from beam_pipelines.generate import progress_bar, run

    console = Console()
    with ExitStack() as stack:
        report = run(config, stack.enter_context(progress_bar(console)) if console.is_terminal else None)
    made = f"{report.planned:,} pictures would be made" if config.dry_run else f"{report.made:,} pictures made"
    console.print(
        f"{made}, {report.skipped:,} existed, {report.rejected:,} refused by the quality gate, "
        f"{report.published:,} in the creative index",
        highlight=False,
    )
    for reason, count in sorted(report.dead_letters.items()):
        console.print(f"{count:,} products left out: {reason}", highlight=False)
