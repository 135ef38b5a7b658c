"""``backdrop promote``, ``rollback``, ``confirm``, ``retire``, ``trim``: lineages on the command line."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from backdrop.options import Home, RedisUrl, read_settings
from contracts import LineageError

if TYPE_CHECKING:
    from stores import StatisticsStore

# A learner says every second how it does.
_SAID_MS = 10_000

_Lineage = Annotated[str, typer.Argument(help="Id of the lineage.")]


def promote(
    lineage: _Lineage,
    max_lag_s: Annotated[
        float, typer.Option(help="How far it may be behind the newest log entry, seconds.", min=0)
    ] = 5.0,
    home: Home = None,
    redis_url: RedisUrl = None,
) -> None:
    """Serve a lineage that has caught up; the one served before is kept up to date for a rollback."""
    from stores import LineageStore, RedisEventLog, StatisticsStore, connect, progress_of

    settings = read_settings(home, redis_url)
    with connect(settings.redis_url) as client:
        store = StatisticsStore(client, lineage)
        store.settings()
        log = RedisEventLog(client, settings.partitions)
        log.require_partitions()
        progress = progress_of(store, log)
        behind_ms = max(0, progress.newest_ms - progress.low_watermark_ms)
        if behind_ms > max_lag_s * 1000:
            message = (
                f"lineage {lineage!r} has folded the log up to {progress.low_watermark_ms}, its newest entry is of "
                f"{progress.newest_ms}: {behind_ms / 1000:.1f} s behind, the limit is {max_lag_s:g} s: let a learner "
                f"follow it (`backdrop learn --lineage {lineage}`), or allow more with --max-lag-s"
            )
            raise LineageError(message)
        _require_followed(store, progress.log_ms)
        before = LineageStore(client).promote(lineage)
    typer.echo(f"lineage {lineage} is served now, {behind_ms / 1000:.1f} s behind the log; before: {before or 'none'}")
    if before is not None:
        typer.echo(
            f"`backdrop rollback` serves {before} again; until `backdrop confirm` retires it, let both learners run"
        )


def _require_followed(store: "StatisticsStore", log_ms: int) -> None:
    """Check that a learner has said lately that it is there: what nobody follows would be old at once."""
    said_ms = int(store.status().get("updated_ms", 0))
    if log_ms - said_ms > _SAID_MS:
        since = f"for {(log_ms - said_ms) / 1000:.0f} s" if said_ms else "yet"
        message = (
            f"no learner has followed lineage {store.lineage!r} {since}: start `backdrop learn --lineage "
            f"{store.lineage}`, and promote it when it runs"
        )
        raise LineageError(message)


def rollback(redis_url: RedisUrl = None) -> None:
    """Serve the previous lineage again; the other is kept up to date and may be promoted again."""
    from stores import LineageStore, connect

    with connect(read_settings(None, redis_url).redis_url) as client:
        served, before = LineageStore(client).rollback()
    typer.echo(f"lineage {served} is served again; {before} is no longer")


def confirm(redis_url: RedisUrl = None) -> None:
    """Retire the previous lineage for good: its learner ends, and it no longer holds the log."""
    from stores import LineageStore, connect

    with connect(read_settings(None, redis_url).redis_url) as client:
        retired = LineageStore(client).confirm()
    typer.echo(f"lineage {retired} is retired")


def retire(lineage: _Lineage, redis_url: RedisUrl = None) -> None:
    """Give up a lineage that is replayed or followed but not served, so that it no longer holds the log."""
    from stores import LineageStore, connect

    with connect(read_settings(None, redis_url).redis_url) as client:
        LineageStore(client).retire(lineage)
    typer.echo(f"lineage {lineage} is retired")


def trim(home: Home = None, redis_url: RedisUrl = None) -> None:
    """Trim the event log below what is archived and no lineage would read again; learners do so by themselves."""
    from stores import LineageStore, RedisEventLog, Trimmer, connect, open_objects

    settings = read_settings(home, redis_url)
    with connect(settings.redis_url) as client:
        log = RedisEventLog(client, settings.partitions)
        log.require_partitions()
        for done in Trimmer(log, open_objects(settings.objects_location)).trim(LineageStore(client).all()):
            typer.echo(
                f"partition {done.partition}: {done.entries:,} entries trimmed, kept from {done.below} "
                f"({iso_time(done.below.append_ms)}) on because of {done.held_by}"
            )


def iso_time(time_ms: int) -> str:
    """An ISO time in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


COMMANDS = (promote, rollback, confirm, retire, trim)
