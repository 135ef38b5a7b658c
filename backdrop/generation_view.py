"""``backdrop generate`` on the terminal: a progress bar while pictures are made, then what came of it."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from beam_pipelines.generate import GenerateConfig, GenerateReport, Progress


def generate_with_progress(config: "GenerateConfig") -> "GenerateReport":
    """Run the batch job; returns its report, which has been printed."""
    from beam_pipelines.generate import run

    console = Console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("planning", total=None)

        def show(progress: "Progress") -> None:
            bars.update(task, description=progress.phase, completed=progress.done, total=progress.planned or None)

        report = run(config, show)
    verb = "would be made" if config.dry_run else "made"
    console.print(
        f"{report.planned if config.dry_run else report.made:,} pictures {verb}, {report.skipped:,} existed, "
        f"{report.rejected:,} refused by the quality gate, {report.published:,} in the creative index",
        highlight=False,
    )
    for reason, count in sorted(report.dead_letters.items()):
        console.print(f"{count:,} products left out: {reason}", highlight=False)
    return report
