"""Settings to parts: the one place that knows how every part is configured."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backdrop.runners import find_flink, find_prism
from backdrop.settings import Settings
from contracts import ACTIVITY_VIEW, ContextSchema, ReadPlan, SettingsError, UnavailableError, WritePlan
from learner import HYBRID, ModelSettings

if TYPE_CHECKING:
    import pyarrow as pa

    from beam_pipelines.features import AggregateConfig
    from beam_pipelines.generate import GenerateConfig
    from beam_pipelines.learn import ActivityConfig, LearnConfig
    from serving import AdminConfig, ReaderFactory, ServerConfig

_TRIM_INTERVAL_S = 60.0
_ASK_TIMEOUT_S = 1.0
_DAY_MS = 86_400_000


def read_plan(settings: Settings) -> ReadPlan:
    """Read the compiled read plan.

    Raises:
        SettingsError: if it has not been compiled yet.
        FormatError: if it is damaged.
    """
    try:
        return ReadPlan.from_json(settings.plan_path.read_bytes())
    except FileNotFoundError as error:
        message = f"{settings.plan_path} is missing: run `backdrop features` first"
        raise SettingsError(message) from error


def read_schema(settings: Settings) -> ContextSchema:
    """Read the compiled context schema.

    Raises:
        SettingsError: if it has not been compiled yet.
    """
    try:
        return ContextSchema.from_json(settings.schema_path.read_bytes())
    except FileNotFoundError as error:
        message = f"{settings.schema_path} is missing: run `backdrop features` first"
        raise SettingsError(message) from error


def server_config(settings: Settings) -> "ServerConfig":
    """What the server is told."""
    from serving import ServerConfig

    serve, lineage = settings.serve, settings.lineage
    return ServerConfig(
        redis_url=settings.redis_url,
        plan_path=settings.plan_path,
        schema_path=settings.schema_path,
        keyring_path=settings.keyring_path,
        host=serve.host,
        port=serve.port,
        objects_root=settings.objects_folder,
        media_base_url=settings.media_url,
        public_base_url=settings.public_url,
        allowed_hosts=serve.allowed_hosts,
        cors_origins=serve.cors_origins,
        partitions=settings.partitions,
        window_ms=round(lineage.window_s * 1000),
        attribution_ms=round(lineage.attribution_s * 1000),
        grace_ms=round(lineage.grace_s * 1000),
        read_deadline_ms=serve.redis_deadline_ms,
        body_limit_bytes=serve.body_limit_bytes,
        max_connections=serve.max_connections,
        studio=serve.studio,
        shadow_every=serve.shadow_every,
        workers=serve.workers,
        cap_impressions=serve.cap_impressions,
        cap_window_ms=round(serve.cap_window_s * 1000),
        sync_pixels=serve.sync_pixels,
        access_log_every=serve.access_log_every,
        drain_notice_ms=round(serve.drain_notice_s * 1000),
        hung_after_ms=round(serve.hung_after_s * 1000),
    )


def reader_words(settings: Settings) -> list[str]:
    """What tells a server's processes how to read, as arguments of a program: what ``reader_of`` takes.

    Raises:
        SettingsError: if the SDK is to read and the features have not been registered.
    """
    if settings.features.reader == "plan":
        return []
    if not settings.store_file.is_file():
        message = f"{settings.store_file} is missing: run `backdrop features` first"
        raise SettingsError(message)
    return ["sdk", str(settings.features.repo.resolve()), str(settings.store_file.resolve())]


def reader_of(words: Sequence[str]) -> "ReaderFactory":
    """What makes a server's reader: only with the word ``sdk`` is Feast imported."""
    from stores import OnlineReader

    if not words:
        return OnlineReader
    from backdrop.sdk_reader import sdk_reader

    _, repo, store_file = words
    return partial(sdk_reader, Path(repo), Path(store_file), _ASK_TIMEOUT_S)


def admin_config(settings: Settings) -> "AdminConfig | None":
    """Where the admin routes listen and what opens them; None where they are off.

    Raises:
        SettingsError: if there is no token, others may read its file, or it is too short.
    """
    from serving import AdminConfig

    serve = settings.serve
    if not serve.admin_port:
        return None
    token = serve.admin_token.get_secret_value()
    if serve.admin_token_file is not None:
        token = _secret_of(serve.admin_token_file)
    elif not token:
        message = (
            f"serve.admin_port = {serve.admin_port} needs a token: set serve.admin_token_file (a file of mode 0600)"
        )
        raise SettingsError(message)
    return AdminConfig(serve.admin_host, serve.admin_port, token)


def supervise(settings: Settings, config: "ServerConfig", admin: "AdminConfig | None") -> None:
    """Run the server in processes of its own, and the admin routes beside them.

    Raises:
        SetupError: if a port is taken, or a process cannot start.
    """
    from backdrop.operations import Operations
    from serving import Supervisor, admin_server

    supervisor = Supervisor(config, (sys.executable, "-m", "backdrop.serve_worker", *reader_words(settings)))
    if admin is None:
        supervisor.run()
        return
    operations = Operations(settings.redis_url, settings.partitions)
    supervisor.run(lambda: admin_server(admin, config, operations, supervisor.states))


def _secret_of(path: Path) -> str:
    try:
        mode = path.stat().st_mode & 0o777
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"serve.admin_token_file {path} cannot be read ({error})"
        raise SettingsError(message) from error
    if mode & 0o077:
        message = f"serve.admin_token_file {path} has mode {mode:04o}: others may read it, run chmod 600 on it"
        raise SettingsError(message)
    return secret


def require_partitions(settings: Settings) -> None:
    """Check, if Redis answers, that the event log has as many partitions as are set; without Redis, serving begins.

    Raises:
        SettingsError: if it was begun with another number.
    """
    from stores import RedisEventLog, connect

    with suppress(UnavailableError), connect(settings.redis_url, timeout_s=_ASK_TIMEOUT_S, retries=0) as client:
        RedisEventLog(client, settings.partitions).require_partitions()


def learn_config(settings: Settings, *, publishes_activity: bool = True) -> "LearnConfig":
    """What the learner is told.

    Raises:
        SettingsError: if the features have not been compiled yet.
        SetupError: if the runner is not there.
    """
    from beam_pipelines.learn import LearnConfig

    schema = read_schema(settings)
    learn = settings.learn
    return LearnConfig(
        redis_url=settings.redis_url,
        lineage=settings.lineage.id,
        settings=settings.lineage.resolve(schema_hash=schema.hash, d=schema.d),
        runner=learn.runner,
        runner_path=find_flink(settings.tools) if learn.runner == "flink" else find_prism(settings.tools),
        partitions=settings.partitions,
        flush_ms=learn.flush_ms,
        model=model_settings(settings),
        archive_uri=settings.objects_location if learn.archive else "",
        trim_interval_s=_TRIM_INTERVAL_S if learn.trim else 0.0,
        metrics_host=learn.metrics_host,
        metrics_port=learn.metrics_port,
        activity=activity_config(settings) if publishes_activity else None,
    )


def aggregate_config(settings: Settings, *, folder: Path, as_of_ms: int) -> "AggregateConfig":
    """What the aggregation of the event log is told.

    Raises:
        InvalidInputError: if the context schema cannot be used, or the horizon is shorter than a window.
        SetupError: if the runner is not there.
    """
    from beam_pipelines.features import AggregateConfig
    from feature_repo import AGGREGATES_FILE, load_context_schema

    features = settings.features
    schema = load_context_schema(features.context)
    prism = ("--runner=PrismRunner", "--environment_type=LOOPBACK")
    return AggregateConfig(
        redis_url=settings.redis_url,
        # Of these, only the times matter here: facts of every schema count.
        rules=settings.lineage.resolve(schema_hash=schema.hash, d=schema.d),
        as_of_ms=as_of_ms,
        folder=str(folder),
        aggregates=str(features.repo / AGGREGATES_FILE),
        partitions=settings.partitions,
        archive_uri=settings.objects_location,
        days=features.days,
        keep_days=features.keep_days,
        runner_options=(*prism, f"--prism_location={find_prism(settings.tools)}") if features.runner == "prism" else (),
    )


def activity_config(settings: Settings) -> "ActivityConfig | None":
    """How the learner publishes user activity; None if that is off, or the repository has no view for it.

    Raises:
        SettingsError: if the features have not been compiled yet, or the view is not the one that is written.
        FormatError: if the write plan is damaged.
    """
    from beam_pipelines.learn import ActivityConfig

    if not settings.learn.activity:
        return None
    try:
        plan = WritePlan.from_json(settings.write_plan_path.read_bytes())
    except FileNotFoundError as error:
        message = f"{settings.write_plan_path} is missing: run `backdrop features`, or set learn.activity = false"
        raise SettingsError(message) from error
    if plan.find(ACTIVITY_VIEW) is None:
        return None
    return ActivityConfig(plan.to_json().decode(), settings.objects_location, settings.learn.activity_flush_ms)


def activity_tables(settings: Settings) -> "Iterator[pa.Table]":
    """The activity rows that learners have put by for training, of the days that are set.

    Raises:
        FormatError: if an object is damaged.
        UnavailableError: if the object store did not answer.
    """
    from stores import open_objects, read_activity

    since_ms = time.time_ns() // 1_000_000 - settings.features.activity_days * _DAY_MS
    return read_activity(open_objects(settings.objects_location), since_ms=since_ms)


def model_settings(settings: Settings) -> ModelSettings:
    """Which model packs hold; a hybrid one's shared entries are looked up in the compiled context schema.

    Raises:
        SettingsError: if the context has no such entry, or has not been compiled.
        InvalidInputError: if the settings contradict each other.
    """
    learn = settings.learn
    shared: tuple[int, ...] = ()
    if learn.model == HYBRID:
        schema = read_schema(settings)
        shared = tuple(_entry(entry, schema) for entry in learn.shared)
    return ModelSettings(learn.model, learn.ridge, learn.prior, shared)


def _entry(entry: int | str, schema: ContextSchema) -> int:
    if isinstance(entry, int) and 0 <= entry < schema.d:
        return entry
    if isinstance(entry, str) and entry in schema.names:
        return schema.names.index(entry)
    message = f"learn.shared names {entry!r}: use an index from 0 to {schema.d - 1}, or one of {list(schema.names)}"
    raise SettingsError(message)


def generate_config(settings: Settings, *, limit: int, only: tuple[str, ...], dry_run: bool) -> "GenerateConfig":
    """What the batch job is told."""
    from beam_pipelines.generate import GenerateConfig

    generate = settings.generate
    model = {} if generate.model_folder is None else {"model": str(generate.model_folder)}
    paths = {"prism": find_prism, "flink": find_flink}
    find = None if generate.runner_options else paths.get(generate.runner)
    return GenerateConfig(
        catalogue=str(generate.catalogue),
        prompts=str(generate.prompts),
        placements=str(generate.placements),
        objects_uri=settings.objects_location,
        media_base_url=settings.media_url,
        redis_url=settings.redis_url,
        weights=str(generate.segmenter_weights or settings.weights / f"{generate.segmenter}.onnx"),
        segmenter=generate.segmenter,
        segmenter_checksum=generate.segmenter_checksum,
        allow_non_commercial=generate.allow_non_commercial,
        backend=generate.backend,
        backend_options={**generate.backend_options, **model},
        gate=generate.gate,
        workers=generate.workers,
        batch=generate.batch,
        runner=generate.runner,
        runner_path="" if find is None else find(settings.tools),
        runner_options=generate.runner_options,
        wave=generate.wave_chunks,
        min_ram=generate.min_ram,
        accelerator=generate.accelerator,
        private_hosts=generate.private_hosts,
        limit=limit,
        only=only,
        dry_run=dry_run,
    )
