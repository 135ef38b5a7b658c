"""``backdrop replay``: a new lineage out of archive and event log, with its progress on the terminal."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from backdrop import wiring
from backdrop.lineage_commands import iso_time
from backdrop.options import Home, RedisUrl, read_settings
from contracts import BackdropError, InvalidInputError, LineageError

if TYPE_CHECKING:
    from beam_pipelines.learn import LearnConfig
    from stores import Lineage

_SHOW_EVERY_S = 2.0
_STATUS_EVERY_S = 0.2
_INTERRUPTED = 130


def replay(
    lineage: Annotated[str, typer.Option(help="Id of the lineage to build; it must be new.")],
    to: Annotated[
        str | None,
        typer.Option(help="Time as of which it is built: milliseconds, ISO or now; default: where the served one is."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Setting of the new lineage, e.g. window_s=60 or gamma=0.99; repeatable."),
    ] = None,
    home: Home = None,
    redis_url: RedisUrl = None,
) -> None:
    """Build a new lineage from archive and event log with the learner's own job, as of a time, and end.

    Settings that are not given are those of the settings file. Interrupted, the same command goes on.
    """
    from beam_pipelines.learn import run
    from stores import LineageState, LineageStore, RedisEventLog, StatisticsStore, connect

    section = {"id": lineage, **dict(_setting(word) for word in changes or ())}
    settings = read_settings(home, redis_url, lineage=section)
    config = wiring.learn_config(settings, publishes_activity=False)
    with connect(settings.redis_url) as client:
        lineages = LineageStore(client)
        log = RedisEventLog(client, settings.partitions)
        log.require_partitions()
        until_ms = _until(to, lineage, lineages.all(), log.clock_ms())
        config = replace(
            config,
            until_ms=until_ms,
            archive_uri=settings.objects_location,
            status_interval_s=_STATUS_EVERY_S,
        )
        with _progress_shown(config):
            run(config)
        if lineages.states().get(lineage) is not LineageState.FOLLOWING:
            typer.echo("backdrop: interrupted; the same command goes on where it was", err=True)
            raise typer.Exit(_INTERRUPTED)
        store = StatisticsStore(client, lineage)
        facts = store.facts()
        read = ", ".join(f"{name} {count:,}" for name, count in sorted(store.tally().items()))
    typer.echo(
        f"lineage {lineage} is built as of {until_ms} ({iso_time(until_ms)}): "
        f"{sum(found.total for found in facts.values()):,} facts in {len(facts)} categories (read: {read or 'nothing'})"
    )
    typer.echo(f"next: `backdrop learn --lineage {lineage}` follows it; `backdrop promote {lineage}` serves it")


def _setting(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or name == "id":
        message = f"--set {word!r}: write a setting of the lineage and its value, for example window_s=60"
        raise InvalidInputError(message)
    return name, value


def parse_time(text: str, now_ms: int, option: str = "--to") -> int:
    """Milliseconds since the Unix epoch: a number, an ISO time (UTC where it names no zone), or ``now``.

    ``option`` is what errors call it.

    Raises:
        InvalidInputError: if it is none of these, or lies ahead of the log's clock ``now_ms``.
    """
    try:
        if text == "now":
            time_ms = now_ms
        elif text.isdigit():
            time_ms = int(text)
        else:
            moment = datetime.fromisoformat(text)
            zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            time_ms = round(zoned.timestamp() * 1000)
    except ValueError as error:
        message = f"{option} {text!r}: write milliseconds, an ISO time such as 2026-01-31T12:00:00Z, or now"
        raise InvalidInputError(message) from error
    if time_ms > now_ms:
        message = (
            f"{option} {text!r} is {time_ms}, the log's clock is at {now_ms}: what will be appended is not known yet"
        )
        raise InvalidInputError(message)
    return time_ms


def _until(to: str | None, lineage: str, known: "Sequence[Lineage]", now_ms: int) -> int:
    """Time as of which to build; unless one is named, an interrupted replay goes on to where it was going."""
    begun = next((found for found in known if found.id == lineage), None)
    if begun is not None and begun.replay_to_ms is not None and to in (None, "now"):
        return begun.replay_to_ms
    if to is not None:
        return parse_time(to, now_ms)
    served = next((found for found in known if found.state == "active"), None)
    if served is None or served.low_watermark_ms < 0:
        message = "no lineage is served and has folded anything: say with --to as of when to build the new one"
        raise LineageError(message)
    return served.low_watermark_ms


@contextmanager
def _progress_shown(config: "LearnConfig") -> Iterator[None]:
    """Say every few seconds, on standard error, how far each partition is read."""
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(config, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(config: "LearnConfig", done: threading.Event) -> None:
    from stores import StatisticsStore, connect

    shown = ""
    with connect(config.redis_url) as client:
        store = StatisticsStore(client, config.lineage)
        while not done.wait(_SHOW_EVERY_S):
            try:
                marks = [store.tally_mark(partition).append_ms for partition in range(config.partitions)]
                read = sum(store.tally().values())
            except BackdropError:
                continue
            where = ", ".join(iso_time(mark) if mark else "-" for mark in marks)
            line = f"replaying to {iso_time(config.until_ms)}: {read:,} facts read, partitions at {where}"
            if read and line != shown:
                typer.echo(line, err=True)
            shown = line
