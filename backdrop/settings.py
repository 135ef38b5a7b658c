"""Settings: one documented class for each part, read from flags, ``BACKDROP_…`` variables and a TOML file.

Precedence: command-line flag, environment variable, ``backdrop.toml`` (or the file that ``BACKDROP_CONFIG``
names), default. A nested setting is written ``BACKDROP_SERVE__PORT=8080`` or, in TOML, ``[serve]`` ``port = 8080``.
"""

import os
from pathlib import Path
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from contracts import DEFAULT_ACTIVITY_FLUSH_MS, LineageSettings, SettingsError, gamma_of

_PROJECT = Path(__file__).resolve().parent.parent


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LineageSection(_Section):
    """What is fixed for one learning history; another value needs another ``id``."""

    id: str = Field("main", description="Lineage that learners write and that is made active when none is.")
    window_s: float = Field(300.0, gt=0, description="Event-time window of a decision, seconds.")
    attribution_s: float = Field(1800.0, gt=0, description="How long after its decision a click counts, seconds.")
    grace_s: float = Field(60.0, gt=0, description="Allowance for late appends and clock differences, seconds.")
    shards: int = Field(8, ge=1, le=1024, description="Parallel folds; shard = hash(decision id) mod shards.")
    gamma: float = Field(1.0, gt=0, le=1, description="Factor on old statistics per closed window; 1 forgets nothing.")
    half_life_s: float | None = Field(
        None, gt=0, description="Time in which old statistics lose half their weight, seconds; in place of gamma."
    )

    @model_validator(mode="after")
    def _forget_one_way(self) -> Self:
        if self.half_life_s is not None and self.gamma != 1.0:
            message = f"half_life_s = {self.half_life_s} and gamma = {self.gamma} both say how to forget: set one"
            raise ValueError(message)
        return self

    def resolve(self, *, schema_hash: str, d: int) -> LineageSettings:
        """Join these times (seconds) with the context schema into the lineage's fixed settings (milliseconds)."""
        window_ms = round(self.window_s * 1000)
        return LineageSettings(
            schema_hash=schema_hash,
            d=d,
            window_ms=window_ms,
            attribution_ms=round(self.attribution_s * 1000),
            grace_ms=round(self.grace_s * 1000),
            shards=self.shards,
            gamma=self.gamma if self.half_life_s is None else gamma_of(self.half_life_s * 1000, window_ms),
        )


class ServeSection(_Section):
    """The HTTP server."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8088, ge=0, le=65535, description="Port to listen on.")
    public_url: str = Field("", description="Base of impression and click URLs; default http://host:port.")
    media_url: str = Field("", description="Base of picture URLs; default <public_url>/media, or the bucket's.")
    allowed_hosts: tuple[str, ...] = Field((), description="Hosts a click may be sent to besides the item's own.")
    cors_origins: tuple[str, ...] = Field((), description="Origins whose scripts may post events; default none.")
    redis_deadline_ms: int = Field(20, ge=1, description="How long a decision waits for Redis, milliseconds.")
    body_limit_bytes: int = Field(1_048_576, ge=1024, description="Largest request body, bytes.")
    shadow_every: int = Field(0, ge=0, description="One read in so many is sampled for `backdrop shadow`; 0: none.")
    max_connections: int = Field(10_000, ge=1, description="Connections a process holds; idle ones make room.")
    studio: bool = Field(False, description="Serve the studio page, which has no login, and tail the event log for it.")
    workers: int = Field(1, ge=1, le=256, description="Processes on the port; about one a core.")
    hung_after_s: float = Field(10.0, ge=0, description="A worker silent for so long is replaced, seconds; 0: never.")
    cap_impressions: int = Field(0, ge=0, description="A creative shown this often to a user rests; 0: no cap.")
    cap_window_s: float = Field(86_400.0, ge=1, description="Time within which impressions count for the cap, seconds.")
    sync_pixels: bool = Field(False, description="Pixels and clicks wait for the event log before they answer.")
    access_log_every: int = Field(0, ge=0, description="Log one request in so many; 0: none, 1: all.")
    drain_notice_s: float = Field(0.0, ge=0, description="Told to end: how long /readyz says so first, seconds.")
    admin_port: int = Field(0, ge=0, le=65535, description="Port of the admin routes; 0: there are none.")
    admin_host: str = Field("127.0.0.1", description="Address that the admin routes listen on.")
    admin_token_file: Path | None = Field(None, description="File (mode 0600) that holds the admin routes' token.")
    admin_token: SecretStr = Field(SecretStr(""), description="That token itself, best set by its variable.")


class LearnSection(_Section):
    """The streaming learner."""

    runner: Literal["prism", "flink"] = Field("prism", description="Beam runner (docs/runners.md).")
    flush_ms: int = Field(500, ge=10, description="Interval of log time at which statistics are published.")
    model: Literal["disjoint", "hybrid"] = Field("disjoint", description="LinUCB with or without a shared part.")
    ridge: float = Field(1.0, gt=0, description="Ridge added to G when a pack is made.")
    prior: float = Field(0.0, ge=0, description="Decisions of the category's average arm lent to every arm (disjoint).")
    shared: tuple[int | str, ...] = Field(
        ("bias",), description="Context entries in a hybrid model's shared part, by name or index."
    )
    archive: bool = Field(True, description="Copy the event log to Parquet in the object store.")
    trim: bool = Field(True, description="Where there is an archive, trim the event log below it once a minute.")
    activity: bool = Field(True, description="Publish recent user activity, online and for training.")
    activity_flush_ms: int = Field(
        DEFAULT_ACTIVITY_FLUSH_MS, ge=10, description="Interval of log time at which activity is published."
    )
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of the learner's /metrics, such as 9108; 0: none.")
    metrics_host: str = Field("127.0.0.1", description="Address that /metrics listens on.")


class GenerateSection(_Section):
    """The batch job that makes creatives."""

    catalogue: Path = Field(
        _PROJECT / "demo/catalogue/products.parquet",
        description="Products: Parquet, CSV, TSV, JSON lines, Merchant XML.",
    )
    prompts: Path = Field(_PROJECT / "demo/catalogue/prompts.yaml", description="Prompts by category, YAML.")
    placements: Path = Field(_PROJECT / "demo/catalogue/placements.yaml", description="Placements, YAML.")
    backend: str = Field("procedural", description="procedural, diffusers, or one from an entry point.")
    model_folder: Path | None = Field(None, description="Local model folder of the diffusers backend.")
    backend_options: dict[str, str] = Field({}, description='Options of the backend, such as {"device": "cuda"}.')
    segmenter: str = Field("u2netp", description="Network that cuts products out (docs/generate.md).")
    segmenter_weights: Path | None = Field(None, description="Its ONNX file; default <weights>/<segmenter>.onnx.")
    segmenter_checksum: str = Field("", description="md5:… or sha256:… of that file; default the known one.")
    allow_non_commercial: bool = Field(False, description="Use weights licensed for non-commercial use only.")
    gate: dict[str, str] = Field({}, description='Options of the quality gate, such as {"recut": "yes"}.')
    workers: int = Field(2, ge=1, description="Worker processes.")
    batch: int = Field(16, ge=1, description="Pictures that a backend is asked for at once.")
    runner: Literal["in-process", "prism", "flink"] = Field("in-process", description="Beam runner (docs/generate.md).")
    runner_options: tuple[str, ...] = Field((), description="Beam's own flags, in place of the runner: Dataflow, ...")
    wave_chunks: int = Field(20, ge=1, description="1,000 products each; a pipeline on this machine gets so many.")
    min_ram: str = Field("", description="Beam's resource hint of the model's stage, such as \"16GB\".")
    accelerator: str = Field("", description='The same, such as "type:nvidia-l4;count:1;install-nvidia-driver".')
    prices: Path | None = Field(None, description="Price file for --dry-run (deploy/generate/prices.yaml), YAML.")
    private_hosts: tuple[str, ...] = Field((), description="Hosts with photos whose addresses are not public.")


class FeaturesSection(_Section):
    """The Feast repository and what is compiled from it."""

    repo: Path = Field(_PROJECT / "feature_repo", description="Folder with feature_store.yaml.")
    context: Path = Field(_PROJECT / "feature_repo/context.yaml", description="Context schema, YAML.")
    days: float = Field(30.0, gt=0, le=3650, description="Horizon of the aggregates of the event log, days.")
    keep_days: float = Field(90.0, gt=0, le=3650, description="How long aggregates stay for training, days.")
    runner: Literal["in-process", "prism"] = Field("in-process", description="Beam runner of the aggregation.")
    activity_days: int = Field(30, ge=1, description="How much user activity `backdrop features` gathers, days.")
    reader: Literal["plan", "sdk"] = Field("plan", description="What serving reads with: compiled plan or Feast's SDK.")


class Settings(BaseSettings):
    """All settings; sections below, common ones here."""

    model_config = SettingsConfigDict(
        env_prefix="BACKDROP_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    home: Path = Field(Path(".backdrop"), description="Folder of all local state: objects, keys, logs, tools.")
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis with features, creatives, packs, events.")
    partitions: int = Field(4, ge=1, le=256, description="Partitions of the event log.")
    objects_uri: str = Field("", description="Object store of pictures, manifest, archive; default <home>/objects.")
    tools: Path = Field(_PROJECT / ".backdrop/tools", description="Folder of Prism and the Flink job server.")
    weights: Path = Field(_PROJECT / ".backdrop/weights", description="Folder with the segmentation weights.")
    lineage: LineageSection = LineageSection.model_validate({})
    serve: ServeSection = ServeSection.model_validate({})
    learn: LearnSection = LearnSection.model_validate({})
    generate: GenerateSection = GenerateSection.model_validate({})
    features: FeaturesSection = FeaturesSection.model_validate({})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flags, environment, TOML file."""
        del dotenv_settings, file_secret_settings
        toml = Path(os.environ.get("BACKDROP_CONFIG", "backdrop.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml)

    @property
    def objects_location(self) -> str:
        """Where objects live: the setting, or a folder under ``home``."""
        return self.objects_uri or str((self.home / "objects").resolve())

    @property
    def objects_folder(self) -> Path | None:
        """The folder that objects live in, or None where they live in a bucket."""
        parts = urlsplit(self.objects_location)
        if parts.scheme == "file":
            return Path(unquote(parts.path))
        return None if "://" in self.objects_location else Path(self.objects_location)

    @property
    def registry_path(self) -> Path:
        """The Feast registry."""
        return self.home / "features" / "registry.db"

    @property
    def store_file(self) -> Path:
        """The feature_store.yaml that `backdrop features` writes, for Feast."""
        return self.registry_path.parent / "feature_store.yaml"

    @property
    def profiles(self) -> Path:
        """Folder of the Parquet files that the Feast repository reads."""
        return self.home / "features" / "profiles"

    @property
    def public_url(self) -> str:
        """Base URL of the server as browsers see it."""
        return self.serve.public_url or f"http://{self.serve.host}:{self.serve.port}"

    @property
    def media_url(self) -> str:
        """Base URL of pictures: the setting, or the server's own; "" for a bucket, which has its own address."""
        return self.serve.media_url or ("" if self.objects_folder is None else f"{self.public_url}/media")

    @property
    def plan_path(self) -> Path:
        """The compiled read plan."""
        return self.home / "features" / "plan.json"

    @property
    def write_plan_path(self) -> Path:
        """The compiled write plan."""
        return self.home / "features" / "stream.json"

    @property
    def schema_path(self) -> Path:
        """The compiled context schema."""
        return self.home / "features" / "context.json"

    @property
    def keyring_path(self) -> Path:
        """The token keys."""
        return self.home / "keys" / "keyring.json"


def load_settings(**flags: object) -> Settings:
    """Read the settings; ``flags`` (nested dicts, ``None`` = not given) win over everything else.

    Raises:
        SettingsError: naming each setting that is wrong and why.
    """
    config = os.environ.get("BACKDROP_CONFIG")
    if config is not None and not Path(config).is_file():
        message = f"BACKDROP_CONFIG names {config!r}, which is not a file: correct the path or unset it"
        raise SettingsError(message)
    try:
        return Settings.model_validate(_given(flags))
    except ValidationError as error:
        problems = "; ".join(_sentence(problem["loc"], problem["msg"], problem["input"]) for problem in error.errors())
        message = f"settings are not valid: {problems}"
        raise SettingsError(message) from error


def _sentence(place: tuple[int | str, ...], what: str, value: object) -> str:
    """One problem; a source that cannot be read at all has no place and no value."""
    if not place:
        return what
    return f"{'.'.join(map(str, place))}: {what} (got {str(value)[:80]!r})"


def _given(flags: dict[str, object]) -> dict[str, object]:
    nested = {name: _given(value) if isinstance(value, dict) else value for name, value in flags.items()}
    return {name: value for name, value in nested.items() if value is not None and value != {}}
