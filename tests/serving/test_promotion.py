"""What a server makes of lineages that come and go, and of a log that is trimmed; real Redis."""

from pathlib import Path

import msgspec
import redis

from contracts import LineageSettings, ManualClock, Position, keys
from learner import ArmStats, LinUCB
from serving.config import ServerConfig
from serving.metrics import Metrics
from serving.refresh import PackTable, PolicyTable
from serving.studio.feed import Studio
from serving.studio.snapshot import Wanted
from stores import (
    AsyncPackStore,
    AsyncPolicyStore,
    CreativeIndex,
    EmbeddedRedis,
    LineageStore,
    RedisEventLog,
    StatisticsStore,
    connect_async,
)
from stores.connect import command
from tests.beam_pipelines.facts import batch, decision
from tests.serving.world import SCHEMA

SETTINGS = LineageSettings(SCHEMA.hash, SCHEMA.d)


def publish(client: redis.Redis, lineage: str, category: str, generation: int) -> None:
    store = StatisticsStore(client, lineage)
    store.begin(SETTINGS)
    command(client, "SADD", keys.lineage_categories(lineage), category)
    model = LinUCB.fit({"oak": ArmStats.zero(SCHEMA.d)})
    store.put_pack(
        category, generation, model.to_arrow(lineage=lineage, schema_hash=SCHEMA.hash, generation=generation)
    )


async def test_a_promoted_lineage_is_served_and_rolled_back(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    publish(redis_client, "main", "sofas", 90)
    publish(redis_client, "main", "lamps", 90)
    publish(redis_client, "new", "sofas", 4)
    lineages, client = LineageStore(redis_client), connect_async(redis_server.url, timeout_s=5.0)
    table = PackTable(AsyncPackStore(client), PolicyTable(AsyncPolicyStore(client)), Metrics(), ManualClock())

    async def served() -> tuple[str | None, dict[str, tuple[str, int]]]:
        await table.refresh()
        return table.lineage, {name: (pack.model.lineage, pack.model.generation) for name, pack in table.packs.items()}

    main = ("main", {"sofas": ("main", 90), "lamps": ("main", 90)})
    assert await served() == main
    lineages.promote("new")
    # Generations of another lineage are other numbers: a lower one is not older.
    assert await served() == ("new", {"sofas": ("new", 4)})
    publish(redis_client, "main", "sofas", 91)
    assert (await served())[0] == "new"
    lineages.rollback()
    assert await served() == ("main", {"sofas": ("main", 91), "lamps": ("main", 90)})
    await client.aclose()


def test_the_studio_reads_on_where_the_log_was_trimmed(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    log, away = RedisEventLog(redis_client, 1), connect_async(redis_server.url)
    clock, metrics = ManualClock(log.clock_ms()), Metrics()
    table = PackTable(AsyncPackStore(away), PolicyTable(AsyncPolicyStore(away)), metrics, clock)
    config = ServerConfig(redis_server.url, tmp_path, tmp_path, tmp_path, partitions=1)
    studio = Studio(config, SCHEMA, table, metrics, clock, log, CreativeIndex(redis_client))

    def append(*seeds: int) -> Position:
        return log.append(0, [batch([decision(clock.now_ms(), seed)]) for seed in seeds])[-1]

    def counted() -> int:
        studio.follow()
        return int(msgspec.json.decode(studio.render(Wanted()))["tiles"]["facts"])

    append(1, 2)
    assert counted() == 2
    # What it has not read yet goes, too; then all of it.
    log.trim(0, append(3, 4))
    append(5)
    assert counted() == 4
    log.trim(0, Position(1 << 60, 0))
    assert counted() == 4
    append(6)
    assert counted() == 5
