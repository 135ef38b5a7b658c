"""Commands of those who run Backdrop: what the models are, what the learner refused, and what an operator changes."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backdrop.options import Home, RedisUrl, read_settings
from contracts import InvalidInputError, SettingsError, TrafficPolicy, check_name

if TYPE_CHECKING:
    import redis

    from backdrop.settings import Settings

ServedLineage = Annotated[
    str | None, typer.Option("--lineage", help="Lineage [default: the one served].", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Category = Annotated[str, typer.Argument(help="Category.")]


class ArmAction(StrEnum):
    """What can be done with an arm."""

    PAUSE = "pause"
    RESUME = "resume"
    RETIRE = "retire"


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(models)
    app.command()(inspect)
    app.command()(arm)
    app.command()(tune)
    app.command("dead-letters")(dead_letters)


def models(
    lineage: ServedLineage = None,
    limit: Annotated[int, typer.Option(help="Only the categories with most facts (0: all).", min=0)] = 50,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
) -> None:
    """Show what has been learned: categories with arms, click rates and age of their packs; how far the learner is."""
    from backdrop.model_tables import console, print_models
    from backdrop.models import lineage_named, overview
    from stores import RedisEventLog, StatisticsStore, progress_of

    with _redis(redis_url) as (settings, client):
        name = lineage_named(client, lineage)
        progress = progress_of(StatisticsStore(client, name), RedisEventLog(client, settings.partitions))
        found = overview(client, name, progress, limit)
    if as_json:
        _echo_json(found)
    else:
        print_models(console(), found)


def inspect(
    category: Category,
    lineage: ServedLineage = None,
    as_json: AsJson = False,
    home: Home = None,
    redis_url: RedisUrl = None,
) -> None:
    """Show one category arm by arm: click rates, what the model expects and why, and how safe its numbers are."""
    from backdrop.inspection import inspect_category
    from backdrop.model_tables import console, print_inspection
    from backdrop.models import lineage_named
    from stores import RedisEventLog, StatisticsStore, progress_of

    with _redis(redis_url, home) as (settings, client):
        name = lineage_named(client, lineage)
        store = StatisticsStore(client, name)
        found = inspect_category(
            client,
            name,
            check_name("category", category),
            progress_of(store, RedisEventLog(client, settings.partitions)),
            names=_entry_names(settings, store.settings().schema_hash),
            ridge=settings.learn.ridge,
        )
    if as_json:
        _echo_json(found)
    else:
        print_inspection(console(), found)


def arm(
    action: Annotated[ArmAction, typer.Argument(help="pause: not chosen for now; resume; retire: not chosen again.")],
    category: Category,
    arm: Annotated[str, typer.Argument(help="Arm.")],
    new: Annotated[bool, typer.Option("--new", help="The arm is not known yet, and that is meant.")] = False,
    redis_url: RedisUrl = None,
) -> None:
    """Pause, resume or retire an arm; running servers follow within a second, statistics are kept and go on."""
    from backdrop.operations import change_arm

    status: Any = {"pause": "paused", "resume": "active", "retire": "retired"}[action]
    with _redis(redis_url) as (_, client):
        before = change_arm(client, category, arm, status, new=new)
    typer.echo(f"{category}/{arm}: {before} -> {status}")


def tune(
    category: Category,
    alpha: Annotated[float | None, typer.Option(help="Exploration weight of linucb here.", min=0)] = None,
    epsilon: Annotated[float | None, typer.Option(help="Share of even draws here.", min=0, max=1)] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to the defaults first.")] = False,
    redis_url: RedisUrl = None,
) -> None:
    """Set how much a category explores, in place of the defaults; running servers follow within a second."""
    from stores import PolicyStore

    check_name("category", category)
    if alpha is None and epsilon is None and not reset:
        message = "nothing to change: give --alpha, --epsilon or --reset"
        raise InvalidInputError(message)

    def edit(policy: TrafficPolicy) -> TrafficPolicy:
        return replace(policy, alpha=override(policy.alpha, alpha), epsilon=override(policy.epsilon, epsilon))

    def override(held: Mapping[str, float], wanted: float | None) -> dict[str, float]:
        kept = {of: value for of, value in held.items() if not (reset and of == category)}
        return kept if wanted is None else kept | {category: wanted}

    with _redis(redis_url) as (_, client):
        changed = PolicyStore(client).change(edit)
    typer.echo(
        f"version {changed.version}: {category} has alpha {changed.alpha_of(category):g}, "
        f"epsilon {changed.epsilon_of(category):g}"
    )


def dead_letters(
    limit: Annotated[int, typer.Option(help="How many of the latest letters to show.", min=0)] = 10,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
) -> None:
    """Show what was refused: counts by reason, and the latest letters with what was wrong."""
    from backdrop.model_tables import console, print_dead_letters
    from stores import DeadLetters

    with _redis(redis_url) as (_, client):
        store = DeadLetters(client)
        counts, letters = store.count_by_reason(), store.latest(limit) if limit else []
    if as_json:
        plain = [
            {
                "position": str(letter.position),
                "source": letter.source,
                "reason": letter.reason,
                "detail": letter.detail,
                "blob_bytes": letter.blob_bytes,
            }
            for letter in letters
        ]
        typer.echo(json.dumps({"counts": counts, "letters": plain}))
    else:
        print_dead_letters(console(), counts.items(), letters)


@contextmanager
def _redis(redis_url: str | None, home: Any = None) -> "Iterator[tuple[Settings, redis.Redis]]":
    from stores import connect

    settings = read_settings(home, redis_url)
    with connect(settings.redis_url) as client:
        yield settings, client


def _entry_names(settings: "Settings", schema_hash: str) -> tuple[str, ...]:
    """Names of the context entries, if the compiled schema is the lineage's; none otherwise."""
    from backdrop.wiring import read_schema

    try:
        schema = read_schema(settings)
    except SettingsError:
        return ()
    return schema.names if schema.hash == schema_hash else ()


def _echo_json(found: Any) -> None:
    typer.echo(json.dumps(asdict(found), allow_nan=False))
