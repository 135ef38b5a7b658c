"""What a learner is told; plain values, so that it can be handed to another process."""

import json
from dataclasses import asdict, dataclass, field

from contracts import (
    ACTIVITY_FEATURES,
    ACTIVITY_VIEW,
    DEFAULT_ACTIVITY_FLUSH_MS,
    DEFAULT_FLUSH_MS,
    LineageSettings,
    SettingsError,
    WritePlan,
    check_name,
)
from learner import ModelSettings

PRISM = "prism"
FLINK = "flink"
# A time that never comes, beyond Beam's last timestamp: a job that learns up to it never ends.
NEVER_MS = 1 << 60


@dataclass(frozen=True, slots=True)
class ActivityConfig:
    """How user activity is published.

    ``plan`` is the write plan (JSON); ``objects_uri`` where the rows lie for training; rows are due at multiples of
    ``flush_ms`` of log time.
    """

    plan: str
    objects_uri: str
    flush_ms: int = DEFAULT_ACTIVITY_FLUSH_MS

    def __post_init__(self) -> None:
        """Refuse a plan whose view is not the one that is written.

        Raises:
            SettingsError: naming what differs.
            FormatError: if the plan is damaged.
        """
        found = WritePlan.from_json(self.plan.encode()).find(ACTIVITY_VIEW)
        offered = {} if found is None else {feature.name: feature.value_type for feature in found[1].features}
        if found is None or found[0].key_type != "STRING" or offered != ACTIVITY_FEATURES or self.flush_ms < 1:
            message = (
                f"view {ACTIVITY_VIEW!r} of the write plan has the features {offered}, flushed every {self.flush_ms} "
                f"ms: it needs {dict(ACTIVITY_FEATURES)}, an entity with a STRING key, and at least 1 ms; "
                "or set learn.activity = false"
            )
            raise SettingsError(message)


@dataclass(frozen=True, slots=True)
class LearnConfig:
    """Settings of one learner process; times in milliseconds or seconds as their names say.

    ``archive_uri`` "" keeps no archive. ``runner_path`` is where the runner is: the Prism binary, or the folder of the
    Flink job server's jars. ``grace_period_s`` is how long a job may take to end before it is killed. A job with
    ``until_ms`` learns what was appended before that time, and ends.
    ``trim_interval_s`` is how often the log is trimmed below what is archived and no longer needed; 0: never.
    ``metrics_port`` 0 serves no metrics; a replay never does. ``activity`` None publishes no user activity; a replay
    never does, either.
    """

    redis_url: str
    lineage: str
    settings: LineageSettings
    runner_path: str
    partitions: int = 4
    flush_ms: int = DEFAULT_FLUSH_MS
    model: ModelSettings = field(default_factory=ModelSettings)
    archive_uri: str = ""
    archive_ms: int = 10_000
    runner: str = PRISM
    poll_interval_s: float = 0.1
    status_interval_s: float = 1.0
    grace_period_s: float = 10.0
    log_level: str = "WARNING"
    entries_per_read: int = 256
    until_ms: int = NEVER_MS
    trim_interval_s: float = 60.0
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    activity: ActivityConfig | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: naming the setting, its value and the limit.
            InvalidInputError: if the lineage is not a valid name.
        """
        check_name("lineage", self.lineage)
        if self.runner not in (PRISM, FLINK):
            message = (
                f"runner = {self.runner!r}: use {PRISM!r} or {FLINK!r} (Beam's in-process runner cannot stream: "
                "its memory grows without limit)"
            )
            raise SettingsError(message)
        for name in ("partitions", "flush_ms", "archive_ms", "entries_per_read"):
            if getattr(self, name) < 1:
                message = f"{name} = {getattr(self, name)}: must be at least 1"
                raise SettingsError(message)

    @property
    def ends(self) -> bool:
        """Whether it is a replay: it ends, and leaves archive and log as they are."""
        return self.until_ms != NEVER_MS

    def to_json(self) -> str:
        """Write for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "LearnConfig":
        """Read what ``to_json`` wrote."""
        plain = json.loads(text)
        plain["model"]["shared"] = tuple(plain["model"]["shared"])
        activity = ActivityConfig(**plain["activity"]) if plain["activity"] else None
        plain["activity"] = activity
        nested = {"settings": LineageSettings(**plain["settings"]), "model": ModelSettings(**plain["model"])}
        return cls(**(plain | nested))
