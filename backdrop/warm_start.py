"""``backdrop warm-start``: lend what an older lineage has learned to a new one."""

from typing import Annotated

import typer

from backdrop import wiring
from backdrop.options import Home, RedisUrl, read_settings


def warm_start(
    source: Annotated[str, typer.Option("--from", help="Lineage that lends.")],
    target: Annotated[str, typer.Option("--to", help="Lineage that is lent to; begun if it does not exist.")],
    weight: Annotated[float, typer.Option(min=0, max=1, help="Weight of a lent decision.")] = 0.5,
    home: Home = None,
    redis_url: RedisUrl = None,
) -> None:
    """Add what another lineage has learned, at a weight, to a lineage's packs; its own statistics stay its own."""
    from beam_pipelines.learn import Publisher, Steering
    from beam_pipelines.learn import warm_start as lend
    from stores import PolicyStore, StatisticsStore, connect

    settings = read_settings(home, redis_url, lineage={"id": target})
    schema = wiring.read_schema(settings)
    fixed = settings.lineage.resolve(schema_hash=schema.hash, d=schema.d)
    with connect(settings.redis_url) as client:
        lender, store = StatisticsStore(client, source), StatisticsStore(client, target)
        # A mistyped name must not leave a new lineage behind.
        lender.settings()
        store.begin(fixed)
        lent = lend(lender, store, weight=weight)
        steering = Steering(PolicyStore(client), store)
        publisher = Publisher(store, fixed, model=wiring.model_settings(settings), inputs_of=steering.inputs)
        for category, decisions in sorted(lent.items()):
            publisher.publish_pack(category)
            typer.echo(f"{category}: {decisions:,.1f} decisions of {source} lent to {target}")
    if not lent:
        typer.echo(f"lineage {source} has learned nothing yet: nothing was lent")
