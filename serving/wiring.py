"""How the parts of a server are put together, and in which order they start and end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import redis.asyncio
import structlog

from contracts import (
    Clock,
    ContextSchema,
    Fact,
    FormatError,
    InvalidInputError,
    ReadPlan,
    SettingsError,
    UnavailableError,
)
from contracts.plan import references_of
from serving.buffer import AsyncLog, EventBuffer
from serving.capping import Cap, CapWriter
from serving.config import ServerConfig
from serving.cors import cors_routes
from serving.decide import Decider
from serving.ending import end_tasks
from serving.events import EventRoutes
from serving.facts import warm_up
from serving.gather import Gatherer, Reader, ReaderFactory
from serving.health import HealthRoutes, Life
from serving.http import Route, Router
from serving.joint import JointAppends
from serving.keyring import KeyRing, KeyRingWatch, ensure_keyring
from serving.media import MediaRoute
from serving.memory import SlotMemory
from serving.metrics import Metrics
from serving.openapi import openapi_route
from serving.refresh import ClockCheck, PackTable, PolicyTable, Refresher
from serving.shadow import ShadowFeed
from serving.studio import Studio, studio_routes
from serving.tokens import TokenSealer
from stores import (
    AsyncPackStore,
    AsyncPolicyStore,
    AsyncRedisEventLog,
    AsyncShadowStream,
    AsyncShownStore,
    CreativeIndex,
    RedisEventLog,
    connect,
    connect_async,
)

_RESUBSCRIBE_S = 1.0
_HOT_TIMEOUT_S = 0.25
_REPORT_S = 0.5

Report = Callable[[dict[str, object]], None]

_log = structlog.get_logger("serving.wiring")


@dataclass(frozen=True, slots=True)
class Preloaded:
    """What is read from files before the server starts."""

    plan: ReadPlan
    schema: ContextSchema
    ring: KeyRing
    metrics: Metrics


def preload(config: ServerConfig, clock: Clock, slot: int | None = None) -> Preloaded:
    """Read the files a server needs; a worker with a ``slot`` shares its metrics.

    Raises:
        SettingsError: naming the file that cannot be used.
    """
    try:
        plan = ReadPlan.from_json(config.plan_path.read_bytes())
        schema = ContextSchema.from_json(config.schema_path.read_bytes())
    except OSError as error:
        what = f"{error.filename} cannot be read ({error.strerror})"
        message = f"{what}: compile the read plan first with `backdrop features`"
        raise SettingsError(message) from error
    except (FormatError, InvalidInputError) as error:
        raise SettingsError(str(error)) from error
    # Half a second here, so that the first impression does not hold up requests for as long.
    warm_up()
    metrics = Metrics(slot)
    metrics.plan(plan.fingerprint)
    _log.info("read_plan", fingerprint=plan.fingerprint, project=plan.project, schema=schema.hash)
    return Preloaded(plan, schema, ensure_keyring(config.keyring_path, clock.now_ms()), metrics)


@contextlib.asynccontextmanager
async def running(
    config: ServerConfig,
    preloaded: Preloaded,
    clock: Clock,
    life: Life,
    make_reader: ReaderFactory,
    report: Report | None,
) -> AsyncIterator[Router]:
    """Run a server's background work and yield its routes; on leaving, drain the event buffer and end it all."""
    metrics = preloaded.metrics
    async with contextlib.AsyncExitStack() as stack:
        # Requests wait for the deadline only, but their reads may end later: see serving.deadline.
        hot = connect_async(config.redis_url, timeout_s=max(_HOT_TIMEOUT_S, config.read_deadline_ms * 5 / 1000))
        calm = connect_async(config.redis_url, timeout_s=config.append_timeout_ms / 1000)
        for client in (hot, calm):
            stack.push_async_callback(client.aclose)
        log = AsyncRedisEventLog(calm, config.partitions)
        pack_store = AsyncPackStore(calm)
        policies = PolicyTable(AsyncPolicyStore(calm))
        packs = PackTable(pack_store, policies, metrics, clock, preloaded.schema)
        clock_check = ClockCheck(log, clock, metrics, limit_ms=config.grace_ms // 2)
        sealer = TokenSealer(preloaded.ring, clock)
        keys = KeyRingWatch(config.keyring_path, preloaded.ring, clock, sealer.use)
        refreshers = (
            Refresher("policy", policies.refresh, config.refresh_ms / 1000, metrics),
            Refresher("packs", packs.refresh, config.refresh_ms / 1000, metrics),
            Refresher("clock", clock_check.refresh, config.clock_check_ms / 1000, metrics),
            Refresher("keys", keys.refresh, config.refresh_ms / 1000, metrics),
        )
        cap = Cap(config.cap_impressions, config.cap_window_ms) if config.cap_impressions else None
        caps = None if cap is None else _cap_writer(config, cap, AsyncShownStore(calm), metrics)
        buffer = _buffer(config, log, metrics, None if caps is None else caps.see)
        memory = SlotMemory(config.remembered_slots)
        reader = make_reader(preloaded.plan, preloaded.schema, hot)
        shadow = _shadow(config, preloaded, reader, calm) if config.shadow_every else None
        gatherer = Gatherer(
            shadow or reader,
            preloaded.schema,
            memory,
            metrics,
            deadline_s=config.read_deadline_ms / 1000,
            placement_columns=_placement_columns(preloaded),
            cap=cap,
        )
        studio = _studio(config, preloaded, packs, clock) if config.studio else None
        decider = Decider(
            config,
            gatherer,
            preloaded.schema,
            policies,
            packs,
            sealer,
            clock,
            metrics,
            watch=studio.see if studio else None,
        )
        joint = JointAppends(buffer.append_now, limit=config.flush_facts)
        events = EventRoutes(config, sealer, buffer, clock, metrics, joint)
        health = HealthRoutes(policies, packs, clock_check, refreshers, buffer, metrics, life)

        await asyncio.gather(*(refresher.round() for refresher in refreshers))
        # Once more, for the arms of the categories that the packs have named.
        await refreshers[0].round()
        flushing = asyncio.create_task(buffer.run(), name="event-buffer")
        tasks = [asyncio.create_task(refresher.run(), name=refresher.name) for refresher in refreshers]
        tasks.append(asyncio.create_task(_listen(pack_store, refreshers[1].hurry), name="pack-listener"))
        if studio is not None:
            tasks.append(asyncio.create_task(studio.run(), name="studio"))
        if shadow is not None:
            tasks.append(asyncio.create_task(shadow.run(), name="shadow"))
            stack.push_async_callback(shadow.flush)
        if report is not None:
            tasks.append(asyncio.create_task(_tell(report, health), name="report"))
        if caps is not None:
            tasks.append(asyncio.create_task(caps.run(), name="frequency-cap"))
            stack.push_async_callback(caps.flush)
        stack.push_async_callback(end_tasks, tasks)
        stack.push_async_callback(buffer.close, flushing, config.drain_ms / 1000)
        routes = [
            Route("POST", "/v1/decide", "decide", decider.handle),
            Route("GET", "/v1/i/", "impression", events.impression, safe=False),
            Route("GET", "/v1/c/", "click", events.click, safe=False),
            *cors_routes(Route("POST", "/v1/events", "events", events.batch), config.cors_origins),
            Route("GET", "/media/", "media", MediaRoute(config.objects_root).get),
            Route("GET", "/healthz", "healthz", health.alive),
            Route("GET", "/readyz", "readyz", health.ready),
            Route("GET", "/metrics", "metrics", health.measure),
        ]
        yield Router([*routes, openapi_route(config, routes), *studio_routes(studio)])


def _placement_columns(preloaded: Preloaded) -> list[int]:
    """Columns of the features that describe the placement."""
    names = {name for entity in preloaded.plan.entities if entity.role == "placement" for name in references_of(entity)}
    return [column for column, name in enumerate(preloaded.schema.features) if name in names]


def _shadow(config: ServerConfig, preloaded: Preloaded, reader: Reader, client: redis.asyncio.Redis) -> ShadowFeed:
    return ShadowFeed(
        reader,
        AsyncShadowStream(client),
        preloaded.metrics,
        every=config.shadow_every,
        plan=preloaded.plan.fingerprint,
        schema=preloaded.schema.hash,
    )


def _studio(config: ServerConfig, preloaded: Preloaded, packs: PackTable, clock: Clock) -> Studio:
    client = connect(config.redis_url)
    log, index = RedisEventLog(client, config.partitions), CreativeIndex(client)
    return Studio(config, preloaded.schema, packs, preloaded.metrics, clock, log, index)


def _cap_writer(config: ServerConfig, cap: Cap, store: AsyncShownStore, metrics: Metrics) -> CapWriter:
    return CapWriter(
        cap,
        store,
        metrics,
        capacity=config.buffer_facts,
        flush_s=config.flush_ms / 1000,
        timeout_s=config.append_timeout_ms / 1000,
    )


def _buffer(config: ServerConfig, log: AsyncLog, metrics: Metrics, watch: Callable[[Fact], None] | None) -> EventBuffer:
    return EventBuffer(
        log,
        metrics,
        partitions=config.partitions,
        capacity=config.buffer_facts,
        batch=config.flush_facts,
        flush_s=config.flush_ms / 1000,
        timeout_s=config.append_timeout_ms / 1000,
        watch=watch,
    )


async def _listen(store: AsyncPackStore, changed: Callable[[], None]) -> None:
    while True:
        try:
            async for _ in store.subscribe():
                changed()
        except UnavailableError as error:
            # The poll goes on meanwhile: a lost subscription costs a second of freshness, nothing else.
            _log.info("pack_subscription_lost", error=str(error))
        await asyncio.sleep(_RESUBSCRIBE_S)


async def _tell(report: Report, health: HealthRoutes) -> None:
    while True:
        report(health.state())
        await asyncio.sleep(_REPORT_S)
