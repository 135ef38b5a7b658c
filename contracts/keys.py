"""Every Redis key and object path (design, section 5)."""

ACTIVE_LINEAGE = "bd:active"
LINEAGES = "bd:lineages"
LINEAGE_HISTORY = "bd:lineages:history"
EVENTS_PARTITIONS = "bd:events:partitions"
MODELS_CHANNEL = "bd:models"
POLICY = "bd:policy"
DEAD_LETTERS = "bd:deadletter"
SHADOW = "bd:shadow"
DEAD_LETTER_COUNTS = "bd:deadletter:counts"
ACTIVITY_OBJECTS = "features/user_activity/"


def base(category: str, lineage: str) -> str:
    """Statistics of all closed windows of a category."""
    return f"bd:{{{category}}}:{lineage}:base"


def deltas(category: str, lineage: str) -> str:
    """Hash ``window:shard`` -> statistics blob of an open window."""
    return f"bd:{{{category}}}:{lineage}:deltas"


def versions(category: str, lineage: str) -> str:
    """Hash ``window:shard`` -> number of facts counted, and ``through`` -> last closed window."""
    return f"bd:{{{category}}}:{lineage}:versions"


def generation(category: str, lineage: str) -> str:
    """Counter that rises with each change of a category's statistics."""
    return f"bd:{{{category}}}:{lineage}:generation"


def pack(category: str, lineage: str) -> str:
    """The pack that serving scores with."""
    return f"bd:{{{category}}}:{lineage}:pack"


def seed(category: str, lineage: str) -> str:
    """Statistics lent by another lineage: part of packs, never of base or deltas."""
    return f"bd:{{{category}}}:{lineage}:seed"


def lineage(lineage_id: str) -> str:
    """Hash: fingerprint, low watermark, time up to which it was replayed."""
    return f"bd:lineage:{lineage_id}"


def lineage_categories(lineage_id: str) -> str:
    """Set of categories that a lineage has statistics of."""
    return f"bd:lineage:{lineage_id}:categories"


def lineage_status(lineage_id: str) -> str:
    """Hash of what a lineage's learner last reported of itself (absolute values)."""
    return f"bd:lineage:{lineage_id}:status"


def lineage_tally(lineage_id: str) -> str:
    """Hash: facts judged by verdict or drop reason, and the log position up to which each partition is counted."""
    return f"bd:lineage:{lineage_id}:tally"


def arms(category: str) -> str:
    """Hash arm -> status and tags."""
    return f"bd:{{{category}}}:arms"


def creatives(item: str, placement: str) -> str:
    """Hash arm -> creative reference."""
    return f"bd:creatives:{item}:{placement}"


def shown(user: str) -> str:
    """Sorted set of what a user was shown lately, by time; only where frequency capping is on."""
    return f"bd:shown:{user}"


def events(partition: int) -> str:
    """Redis stream of one partition of the event log."""
    return f"bd:events:{partition}"


def events_trimmed(partition: int) -> str:
    """Position below which a partition's entries may have been trimmed."""
    return f"bd:events:{partition}:trimmed"


def delta_field(window: int, shard: int) -> str:
    """Field of one (window, shard) in the deltas and versions hashes."""
    return f"{window}:{shard}"


def creative_object(creative_id: str, suffix: str) -> str:
    """Object path of a picture."""
    return f"creatives/{creative_id[:2]}/{creative_id}.{suffix}"


def archive_object(partition: int, first: str, last: str) -> str:
    """Object path of archived log entries, by their range of positions."""
    return f"{archive_objects_behind(partition, first)}{last}.parquet"


def archive_objects_behind(partition: int, first: str) -> str:
    """What the object paths of archived log entries begin with, where their range begins behind ``first``."""
    return f"archive/{partition}/{first}_"


def activity_object(bucket_end_ms: int, shard: int) -> str:
    """Object path of a user shard's activity rows with event times in the bucket that ends then."""
    return f"{ACTIVITY_OBJECTS}{bucket_end_ms}-{shard}.parquet"
