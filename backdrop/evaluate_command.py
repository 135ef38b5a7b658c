"""``backdrop evaluate``: what LinUCB would have earned on logged decisions, on the terminal."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from backdrop import wiring
from backdrop.options import Home, RedisUrl, read_settings
from contracts import RANDOM, InvalidInputError

if TYPE_CHECKING:
    from beam_pipelines.replay import Evaluation


def evaluate(
    share: Annotated[float, typer.Option(help="Share of the log's time to learn from; the rest judges.")] = 0.5,
    policy: Annotated[str, typer.Option(help="Policy whose decisions judge; it must choose at random.")] = RANDOM,
    alpha: Annotated[float, typer.Option(help="Exploration weight of the candidate.", min=0)] = 0.1,
    epsilon: Annotated[float, typer.Option(help="Share of even draws of the candidate.", min=0, max=1)] = 0.0,
    home: Home = None,
    redis_url: RedisUrl = None,
) -> None:
    """Learn from the log's first part, and tell from its second what LinUCB would have earned there."""
    from beam_pipelines.replay import Candidate, entries_in_order
    from beam_pipelines.replay import evaluate as run
    from learner import DEFAULT_BOOTSTRAP
    from stores import PolicyStore, RedisEventLog, StatisticsStore, connect, open_objects

    settings = read_settings(home, redis_url)
    if not 0.0 < share < 1.0:
        message = f"share = {share}: must be between 0 and 1, so that there is a part to learn from and one to judge"
        raise InvalidInputError(message)
    with connect(settings.redis_url) as client:
        lineage = StatisticsStore(client, settings.lineage.id).settings()
        log = RedisEventLog(client, settings.partitions)
        objects = open_objects(settings.objects_location)
        first = next(entries_in_order(log, objects), None)
        if first is None:
            message = "the event log is empty: there is nothing to evaluate on"
            raise InvalidInputError(message)
        until_ms = log.clock_ms()
        found = run(
            lambda: entries_in_order(log, objects),
            lineage,
            Candidate(alpha, epsilon, wiring.model_settings(settings), PolicyStore(client).tags),
            policy=policy,
            learn_until_ms=round(first.append_ms + share * (until_ms - first.append_ms)),
            until_ms=until_ms,
            bootstrap=DEFAULT_BOOTSTRAP,
        )
    if not found:
        message = f"no decision of policy {policy!r} in the judging part has all its clicks: wait, or learn from less"
        raise InvalidInputError(message)
    _print(found, policy)


def _print(found: "list[Evaluation]", policy: str) -> None:
    console = Console()
    title = f"Clicks a decision shown; {policy} as logged, linucb by three estimators, 95 % intervals by user"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("category")
    for column in ("decisions", policy, *(estimate.estimator for estimate in found[0].estimates)):
        table.add_column(column, justify="right")
    for row in found:
        cells = [
            f"{estimate.value:.2%} ({estimate.low:.2%} – {estimate.high:.2%})" if estimate.claim else "no claim"
            for estimate in row.estimates
        ]
        table.add_row(row.category or "all", f"{row.decisions:,}", f"{row.logged:.2%}", *cells)
    console.print(table, highlight=False)
    for reason in sorted({f"{row.category or 'all'}: {e.reason}" for row in found for e in row.estimates if e.reason}):
        console.print(f"no claim for {reason}", highlight=False)
