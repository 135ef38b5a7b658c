"""``backdrop shadow``: a process of its own beside the servers, with metrics and a report at its end."""

import asyncio
import signal
from typing import Annotated

import typer

from backdrop.options import Home, RedisUrl, read_settings
from backdrop.settings import Settings
from backdrop.shadow import MISMATCH, Shadow, Tally, follow
from contracts import SettingsError

_TIMEOUT_S = 5.0


def shadow(
    samples: Annotated[int, typer.Option(help="End after so many samples (0: at Ctrl-C).", min=0)] = 0,
    metrics_port: Annotated[int, typer.Option(help="Port of /metrics on 127.0.0.1 (0: none).", min=0, max=65535)] = 0,
    home: Home = None,
    redis_url: RedisUrl = None,
) -> None:
    """Read again, by Feast's SDK, one in `serve.shadow_every` of the servers' reads, and count where they differ.

    At its end it prints a report; exit code 1 if there was a mismatch.
    """
    settings = read_settings(home, redis_url)
    if not settings.store_file.is_file():
        message = f"{settings.store_file} is missing: run `backdrop features` first"
        raise SettingsError(message)
    tally = asyncio.run(_run(settings, samples, metrics_port))
    typer.echo(tally.line())
    raise typer.Exit(1 if tally.outcomes[MISMATCH] else 0)


async def _run(settings: Settings, samples: int, metrics_port: int) -> Tally:
    from prometheus_client import CollectorRegistry, Counter, start_http_server

    from backdrop.sdk_reader import SdkReader, open_feast
    from backdrop.wiring import read_plan, read_schema
    from stores import AsyncShadowStream, OnlineReader, connect_async

    registry = CollectorRegistry()
    read = Counter("backdrop_shadow_samples", "Samples read again, by outcome.", ["outcome"], registry=registry)
    missed = Counter("backdrop_shadow_mismatches", "Values that differ.", ["reference"], registry=registry)
    plan, schema = read_plan(settings), read_schema(settings)
    store = open_feast(settings.features.repo, settings.store_file.resolve())
    client = connect_async(settings.redis_url, timeout_s=_TIMEOUT_S)
    sdk = SdkReader(store, plan, schema, client, timeout_s=_TIMEOUT_S)
    if metrics_port:
        start_http_server(metrics_port, addr="127.0.0.1", registry=registry)
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    judge = Shadow(
        sdk,
        OnlineReader(plan, schema, client),
        plan,
        schema,
        count=lambda outcome: read.labels(outcome).inc(),
        count_mismatch=lambda reference: missed.labels(reference).inc(),
    )
    typer.echo("comparing what servers sample (serve.shadow_every); Ctrl-C ends it", err=True)
    try:
        await follow(judge, AsyncShadowStream(client), ending, samples=samples)
    finally:
        await sdk.close()
        await client.aclose()
    return judge.tally
