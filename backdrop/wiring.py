"""Settings to parts: the one place that knows how every part is configured."""

from pathlib import Path
from typing import TYPE_CHECKING

from backdrop.settings import Settings
from contracts import ContextSchema, SettingsError

if TYPE_CHECKING:
    from serving import ServerConfig


def read_schema(settings: Settings) -> ContextSchema:
    """Read the compiled context schema.

    Raises:
        SettingsError: if it has not been compiled yet.
    """
    try:
        return ContextSchema.from_json(settings.schema_path.read_bytes())
    except FileNotFoundError as error:
        message = f"{settings.schema_path} is missing: run `backdrop compile` first"
        raise SettingsError(message) from error


def server_config(settings: Settings) -> "ServerConfig":
    """What the server is told."""
    from serving import ServerConfig

    serve, lineage = settings.serve, settings.lineage
    is_local = "://" not in settings.objects_location
    return ServerConfig(
        redis_url=settings.redis_url,
        plan_path=settings.plan_path,
        schema_path=settings.schema_path,
        keyring_path=settings.keyring_path,
        host=serve.host,
        port=serve.port,
        objects_root=Path(settings.objects_location) if is_local else None,
        media_base_url=settings.media_url,
        public_base_url=settings.public_url,
        allowed_hosts=serve.allowed_hosts,
        partitions=settings.partitions,
        window_ms=round(lineage.window_s * 1000),
        attribution_ms=round(lineage.attribution_s * 1000),
        grace_ms=round(lineage.grace_s * 1000),
        read_deadline_ms=serve.redis_deadline_ms,
        body_limit_bytes=serve.body_limit_bytes,
        studio=serve.studio,
    )
