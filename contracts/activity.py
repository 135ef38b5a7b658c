"""Recent user activity: the rows that streams write online and offline, and the times that they go by."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

from contracts.errors import InvalidInputError
from contracts.lineage import LineageSettings

ACTIVITY_VIEW = "user_activity"
ACTIVITY_FORMAT = "activity/1"
DEFAULT_ACTIVITY_FLUSH_MS = 2_000
# Feature -> Feast's type.
ACTIVITY_FEATURES: Mapping[str, str] = MappingProxyType(
    {"recent_impressions": "INT64", "recent_clicks": "INT64", "recent_ctr": "FLOAT"}
)
# The first column is the entity; types are those of the Feast view.
ACTIVITY_SCHEMA = pa.schema(
    [
        pa.field("user", pa.string(), nullable=False),
        pa.field("recent_impressions", pa.int64(), nullable=False),
        pa.field("recent_clicks", pa.int64(), nullable=False),
        pa.field("recent_ctr", pa.float32(), nullable=False),
        pa.field("event_timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
    ],
    metadata={"format": ACTIVITY_FORMAT},
)


@dataclass(frozen=True, slots=True)
class ActivityRules:
    """What a row sums: buckets of ``bucket_ms`` of the decisions' time, the open one and ``closed`` before it.

    Rows are as of multiples of ``flush_ms`` of log time, and of every bucket's end.

    Raises:
        InvalidInputError: if a bucket or the flush interval is not above 0, or ``closed`` is negative.
    """

    bucket_ms: int
    closed: int
    flush_ms: int = DEFAULT_ACTIVITY_FLUSH_MS

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.bucket_ms < 1 or self.flush_ms < 1 or self.closed < 0:
            message = f"activity of {self.closed} closed buckets of {self.bucket_ms} ms, flushed every {self.flush_ms}"
            message += " ms: buckets and flushes take at least 1 ms, and none can be fewer than 0"
            raise InvalidInputError(message)

    @classmethod
    def of(cls, settings: LineageSettings, flush_ms: int) -> "ActivityRules":
        """The rules of a lineage: its windows are the buckets, as many of them as fit its attribution window.

        So whatever a row sums was appended behind the position at which a restarted learner begins to read.
        """
        return cls(settings.window_ms, settings.attribution_ms // settings.window_ms, flush_ms)

    def bucket_end(self, at_ms: int) -> int:
        """End of the bucket that is open at a time: the smallest bucket's end behind it."""
        return (at_ms // self.bucket_ms + 1) * self.bucket_ms

    def oldest(self, at_ms: int) -> int:
        """Start of the oldest bucket that a row as of ``at_ms`` sums."""
        return (at_ms // self.bucket_ms - self.closed) * self.bucket_ms
