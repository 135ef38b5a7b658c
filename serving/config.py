"""Everything the server is told at start."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from contracts import InvalidInputError

_POSITIVE = (
    "partitions",
    "window_ms",
    "attribution_ms",
    "grace_ms",
    "refresh_ms",
    "read_deadline_ms",
    "append_timeout_ms",
    "flush_ms",
    "flush_facts",
    "buffer_facts",
    "body_limit_bytes",
    "body_timeout_ms",
    "max_connections",
    "head_limit_bytes",
    "head_timeout_ms",
    "idle_ms",
    "max_items",
    "max_events",
    "remembered_slots",
    "clock_check_ms",
    "drain_ms",
    "studio_history_ms",
    "cap_window_ms",
    "workers",
)
_NOT_NEGATIVE = ("cap_impressions", "access_log_every", "drain_notice_ms", "shadow_every", "hung_after_ms")
_MAX_PORT = 65_535
# Workers give a sign of life twice a second.
_LEAST_HUNG_MS = 2_000


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Settings of one server process; times in milliseconds, sizes in bytes or pieces.

    ``plan_path`` holds the compiled read plan and ``schema_path`` the context schema; ``objects_root`` is the
    folder that ``/media`` serves (None: nothing is served); ``public_base_url`` starts impression and click
    URLs ("" means ``http://host:port``), ``media_base_url`` stands before creative URLs that begin with ``/``.
    Clicks are redirected to an item's own URL or to a request's URL whose host is in ``allowed_hosts``.
    One read in ``shadow_every`` (0: none) is sampled for the shadow.
    Scripts of pages of ``cors_origins`` may post events.
    ``remembered_slots`` (item, placement) pairs stay in memory for the times Redis is away.
    A creative that a user was shown ``cap_impressions`` times (0: no cap) within ``cap_window_ms`` rests for that user.
    With ``sync_pixels`` pixels and clicks wait for the event log. One request in ``access_log_every`` (0: none) is
    logged. Told to end, a server says so at /readyz for ``drain_notice_ms`` before it takes no more connections.
    One of several workers that gives no sign of life for ``hung_after_ms`` (0: never) is killed and replaced.
    """

    redis_url: str
    plan_path: Path
    schema_path: Path
    keyring_path: Path
    host: str = "127.0.0.1"
    port: int = 8088
    objects_root: Path | None = None
    media_base_url: str = ""
    public_base_url: str = ""
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    partitions: int = 4
    window_ms: int = 300_000
    attribution_ms: int = 1_800_000
    grace_ms: int = 60_000
    refresh_ms: int = 1_000
    read_deadline_ms: int = 20
    append_timeout_ms: int = 2_000
    flush_ms: int = 25
    flush_facts: int = 512
    buffer_facts: int = 65_536
    body_limit_bytes: int = 1_048_576
    body_timeout_ms: int = 5_000
    max_connections: int = 10_000
    head_limit_bytes: int = 16_384
    head_timeout_ms: int = 10_000
    idle_ms: int = 30_000
    max_items: int = 100
    max_events: int = 1_000
    remembered_slots: int = 20_000
    clock_check_ms: int = 10_000
    drain_ms: int = 5_000
    studio: bool = False
    studio_history_ms: int = 3_600_000
    shadow_every: int = 0
    cap_impressions: int = 0
    cap_window_ms: int = 86_400_000
    sync_pixels: bool = False
    access_log_every: int = 0
    drain_notice_ms: int = 0
    workers: int = 1
    hung_after_ms: int = 10_000

    def __post_init__(self) -> None:
        """Refuse settings that cannot work.

        Raises:
            InvalidInputError: naming the field, its value and the limit.
        """
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                message = f"{name} = {getattr(self, name)}: must be at least 1"
                raise InvalidInputError(message)
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                message = f"{name} = {getattr(self, name)}: must be at least 0"
                raise InvalidInputError(message)
        if 0 < self.hung_after_ms < _LEAST_HUNG_MS:
            message = f"hung_after_ms = {self.hung_after_ms}: must be 0 (never) or at least {_LEAST_HUNG_MS}"
            raise InvalidInputError(message)
        if not 0 < self.port <= _MAX_PORT:
            message = f"port = {self.port}: must be between 1 and {_MAX_PORT}"
            raise InvalidInputError(message)

    def to_json(self) -> bytes:
        """Write as JSON, for a worker process."""
        return msgspec.json.encode(self, enc_hook=str)

    @classmethod
    def from_json(cls, data: bytes) -> "ServerConfig":
        """Read what ``to_json`` wrote.

        Raises:
            msgspec.ValidationError: if it is something else.
        """
        return msgspec.json.decode(data, type=cls, dec_hook=lambda _, text: Path(text))

    @property
    def base_url(self) -> str:
        """What impression and click URLs begin with, without a slash at the end."""
        return (self.public_base_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def counting_ms(self) -> int:
        """Age of a decision beyond which its events no longer count."""
        return self.attribution_ms + self.grace_ms
