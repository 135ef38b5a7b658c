"""``backdrop features``: aggregates of the event log, registration, materialization, and what serving reads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from backdrop import wiring
from backdrop.lineage_commands import iso_time
from backdrop.options import Home, RedisUrl, read_settings
from backdrop.replay_command import parse_time
from backdrop.settings import Settings
from contracts import InvalidInputError


def features(
    home: Home = None,
    redis_url: RedisUrl = None,
    profiles: Annotated[Path | None, typer.Option(help="Folder of the views' Parquet files.")] = None,
    aggregate: Annotated[bool, typer.Option(help="First aggregate the event log into user, item, slot stats.")] = False,
    days: Annotated[float | None, typer.Option(help="Horizon of the aggregates [default: 30]")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Log time of the aggregates: milliseconds, ISO or now [default: now]")
    ] = None,
) -> None:
    """Register the feature repository, load its Parquet files into Redis and compile what serving reads."""
    from feature_repo import apply_and_materialize, compile_features, compile_writes, gather_activity

    if not aggregate and (days is not None or as_of is not None):
        message = "--days and --as-of are about the aggregates: give --aggregate, too"
        raise InvalidInputError(message)
    settings = read_settings(home, redis_url, features={"days": days})
    repo = settings.features.repo
    folder = (profiles or settings.profiles).resolve()
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    if aggregate:
        # The log's clock may be ahead of this machine's: what was just written must be loaded all the same.
        now_ms = max(now_ms, _aggregate(settings, folder, as_of or "now"))
    gather_activity(folder, wiring.activity_tables(settings))
    store_file = apply_and_materialize(
        repo,
        redis_url=settings.redis_url,
        features_dir=folder,
        registry_path=settings.registry_path,
        now=datetime.fromtimestamp(now_ms / 1000, UTC),
    )
    _, schema = compile_features(
        repo,
        store_file=store_file,
        context_path=settings.features.context,
        plan_path=settings.plan_path,
        schema_path=settings.schema_path,
    )
    compile_writes(repo, store_file=store_file, path=settings.write_plan_path)
    typer.echo(f"features are loaded; contexts have {schema.d} entries (schema {schema.hash[:12]})")
    typer.echo(f"for the feast command: export FEAST_FS_YAML_FILE_PATH={store_file} BACKDROP_FEATURES_DIR={folder}")


def _aggregate(settings: Settings, folder: Path, as_of: str) -> int:
    """Aggregate the event log as of a time; returns that time, in milliseconds."""
    from beam_pipelines.features import run
    from stores import RedisEventLog, connect

    with connect(settings.redis_url) as client:
        log = RedisEventLog(client, settings.partitions)
        log.require_partitions()
        as_of_ms = parse_time(as_of, log.clock_ms(), "--as-of")
    with _bar() as tell:
        report = run(wiring.aggregate_config(settings, folder=folder, as_of_ms=as_of_ms), tell)
    facts = ", ".join(f"{name} {count:,}" for name, count in report.facts.items() if count)
    rows = ", ".join(f"{view} {count:,}" for view, count in report.rows.items())
    typer.echo(
        f"aggregated {report.shown:,} decisions ({report.clicked:,} clicked) from {iso_time(report.first_ms)} to "
        f"{iso_time(report.end_ms)}, as of {iso_time(as_of_ms)} (facts: {facts or 'none'})"
    )
    typer.echo(f"rows written: {rows or 'none'}")
    return as_of_ms


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar where there is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("reading the log"), BarColumn(), MofNCompleteColumn(), TextColumn("slices"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
