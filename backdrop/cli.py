"""The command line: a command reads the settings, has its part wired, and runs it."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from backdrop import doctor as doctor_module
from backdrop import features_command, lineage_commands, wiring
from backdrop.evaluate_command import evaluate
from backdrop.gallery_command import gallery
from backdrop.key_commands import keys
from backdrop.logging import configure_logging
from backdrop.model_commands import register
from backdrop.options import Home, LineageId, RedisUrl
from backdrop.options import read_settings as _settings
from backdrop.prompts_command import prompts
from backdrop.replay_command import replay
from backdrop.shadow_command import shadow
from backdrop.version import __version__
from backdrop.warm_start import warm_start
from contracts import BackdropError, InvalidInputError, SetupError, TrafficPolicy

app = typer.Typer(
    name="backdrop",
    help="Product images that fit the shopper, the product and the slot, and learn which get clicked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; an error of ours is one sentence and exit code 1, Ctrl-C is 130."""
    # onnxruntime would send usage data to its maker otherwise; child processes inherit it.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        app()
    except BackdropError as error:
        typer.echo(f"backdrop: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("backdrop: interrupted", err=True)
        sys.exit(130)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def doctor() -> None:
    """Check this machine and say what is missing."""
    raise typer.Exit(doctor_module.main())


@app.command()
def redis(
    port: Annotated[int, typer.Option(help="Port to listen on (0: any free one).", min=0, max=65535)] = 6379,
    home: Home = None,
) -> None:
    """Run a Redis of its own in <home>/redis until Ctrl-C (redis-server on PATH, else the bundled one)."""
    from stores import EmbeddedRedis

    settings = _settings(home, None)
    with EmbeddedRedis(settings.home / "redis", port=port or None) as server:
        ending = threading.Event()
        # Handlers, not a mask: numpy's threads would take the signal, and die of it with the process.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ending.set())
        typer.echo(f"Redis answers at {server.url}; Ctrl-C ends it")
        ending.wait()


app.command()(features_command.features)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes on that port.", min=1)] = None,
    studio: Annotated[bool | None, typer.Option("--studio/--no-studio", help="Serve /studio (no login).")] = None,
    home: Home = None,
    redis_url: RedisUrl = None,
) -> None:
    """Answer ad requests over HTTP: decisions, impression and click URLs, events, metrics, studio page.

    The HTTP contract is at /openapi.json, explained in docs/serving.md.
    """
    from serving import serve as run_server

    settings = _settings(home, redis_url, serve={"host": host, "port": port, "workers": workers, "studio": studio})
    config, admin = wiring.server_config(settings), wiring.admin_config(settings)
    wiring.require_partitions(settings)
    if config.workers == 1 and admin is None:
        run_server(config, wiring.reader_of(wiring.reader_words(settings)))
    else:
        wiring.supervise(settings, config, admin)


@app.command()
def generate(
    limit: Annotated[int, typer.Option(help="Only the first products (0: all).", min=0)] = 0,
    only: Annotated[list[str] | None, typer.Option(help="Only this item, category or prompt; repeatable.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Say what would be made, make nothing.")] = False,
    backend: Annotated[str | None, typer.Option(help="procedural or diffusers.")] = None,
    model_folder: Annotated[Path | None, typer.Option(help="Local model folder of the diffusers backend.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    home: Home = None,
    redis_url: RedisUrl = None,
) -> None:
    """Make the creatives that do not exist yet: Beam batch job from catalogue to pictures, manifest and index."""
    from backdrop.generation_view import generate_with_progress

    section = {"backend": backend, "model_folder": model_folder, "workers": workers}
    settings = _settings(home, redis_url, generate=section)
    config = wiring.generate_config(settings, limit=limit, only=tuple(only or ()), dry_run=dry_run)
    generate_with_progress(config, settings.generate.prices)


@app.command("contact-sheet")
def contact_sheet(
    placement: Annotated[str, typer.Argument(help="Placement whose creatives are shown.")] = "square",
    items: Annotated[list[str] | None, typer.Option("--item", help="Only this item; repeatable, in order.")] = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("contact-sheet.jpg"),
    home: Home = None,
) -> None:
    """Put the creatives of a placement on one picture, a row a product, to judge them by eye."""
    from beam_pipelines.generate import sheet_of
    from stores import open_objects

    settings = _settings(home, None)
    sheet = sheet_of(open_objects(settings.objects_location), placement, items=items or ())
    try:
        out.write_bytes(sheet)
    except OSError as error:
        message = f"{out} cannot be written ({error.strerror}): choose another file with --out"
        raise SetupError(message) from error
    typer.echo(str(out))


@app.command()
def learn(lineage: LineageId = None, home: Home = None, redis_url: RedisUrl = None) -> None:
    """Follow the event log and keep the models up to date: Beam streaming job on Prism or Flink."""
    from beam_pipelines.learn import run

    run(wiring.learn_config(_settings(home, redis_url, lineage={"id": lineage})))


@app.command()
def verify(lineage: LineageId = None, home: Home = None, redis_url: RedisUrl = None) -> None:
    """Check that the streaming state equals a batch replay of archive and event log, bit for bit."""
    from beam_pipelines.replay import compare
    from stores import RedisEventLog, StatisticsStore, connect, open_objects

    settings = _settings(home, redis_url, lineage={"id": lineage})
    typer.echo("waiting for the learner to reach the log's end (a minute at most), then replaying", err=True)
    with connect(settings.redis_url) as client:
        log = RedisEventLog(client, settings.partitions)
        log.require_partitions()
        identity = compare(
            StatisticsStore(client, settings.lineage.id),
            log,
            open_objects(settings.objects_location),
        )
    outcome = "identical" if identity.identical else "DIFFERENT"
    typer.echo(
        f"streaming state == batch replay of the event log: {outcome} "
        f"({identity.windows_closed:,} closed windows, {identity.facts:,} facts, as of {identity.watermark_ms})"
    )
    for difference in identity.differences:
        typer.echo(f"  {difference}")
    raise typer.Exit(0 if identity.identical else 1)


app.command()(gallery)
app.command()(evaluate)
app.command()(replay)
app.command("warm-start")(warm_start)
app.command()(shadow)
for _command in lineage_commands.COMMANDS:
    app.command()(_command)


@app.command()
def split(
    shares: Annotated[list[str], typer.Argument(help="policy=share, e.g. original=0.2 random=0.3 linucb=0.5")],
    alpha: Annotated[float | None, typer.Option(help="Exploration weight of linucb.", min=0)] = None,
    redis_url: RedisUrl = None,
) -> None:
    """Change which share of users each policy decides for; running servers follow within a second."""
    from dataclasses import replace

    from stores import PolicyStore, connect

    split = parse_split(shares)
    with connect(_settings(None, redis_url).redis_url) as client:
        changed = PolicyStore(client).change(
            lambda policy: replace(policy, split=split, default_alpha=policy.default_alpha if alpha is None else alpha)
        )
    typer.echo(
        f"version {changed.version}: " + ", ".join(f"{name} {share:.1%}" for name, share in changed.split.items())
    )


def parse_split(shares: list[str]) -> dict[str, float]:
    """Read ``policy=share`` words.

    Raises:
        InvalidInputError: naming the word that is none, or the shares if they are no split.
    """
    parsed: dict[str, float] = {}
    for word in shares:
        name, _, share = word.partition("=")
        if name in parsed:
            message = f"{word!r} names {name} a second time: give each policy one share"
            raise InvalidInputError(message)
        try:
            parsed[name] = float(share)
        except ValueError as error:
            message = f"{word!r} is not policy=share: write for example linucb=0.5"
            raise InvalidInputError(message) from error
    TrafficPolicy(split=parsed)
    return parsed


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Seed of shoppers and their hidden tastes.", min=0)] = 1,
    decisions: Annotated[int | None, typer.Option(help="How many decisions; default by world.", min=1)] = None,
    policies: Annotated[str, typer.Option(help="Policies that share the traffic.")] = "original,random,linucb",
    world: Annotated[str, typer.Option(help="demo (over HTTP) or paper (in process).")] = "demo",
    keep: Annotated[bool, typer.Option(help="Leave everything running at the end.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the server [default: 8088 or a free one]")] = None,
    home: Annotated[Path, typer.Option(help="Folder of the demo's state.")] = Path(".backdrop/demo"),
) -> None:
    """Run the whole system with simulated shoppers and show that it learns."""
    from rich.console import Console

    from demo.config import DemoConfig, shares_of
    from demo.run import run_demo

    configure_logging("WARNING")
    config = DemoConfig(
        home=home,
        seed=seed,
        decisions=decisions,
        split=shares_of([name for name in policies.split(",") if name]),
        world=world,
        keep=keep,
        port=port,
    )
    result = run_demo(config, Console())
    raise typer.Exit(0 if result.passed else 1)


register(app)
app.add_typer(keys, name="keys")
app.add_typer(prompts, name="prompts")
