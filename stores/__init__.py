"""Redis, event log, archive, object stores and feature reader behind small interfaces.

``stores.objects_gcs`` is not imported here: only ``open_objects("gs://…")`` needs Google's client library.
"""

from stores.activity import read_activity, write_activity
from stores.archive import (
    ArchivedRange,
    archived_ranges,
    archived_through,
    read_archive,
    trim_safely,
    write_archive,
)
from stores.connect import connect, connect_async, translated
from stores.creative_index import CreativeIndex, decode_ref, encode_ref
from stores.dataset import Dataset
from stores.dead_letters import DeadLetter, DeadLetters
from stores.embedded import EmbeddedRedis, RedisBinary, find_redis_server
from stores.features import OnlineReader, OnlineRow
from stores.file_log import FileEventLog
from stores.impressions import AsyncShownStore, Shown, shown_counts, shown_request
from stores.lineages import Lineage, LineageState, LineageStore, Move
from stores.objects import FileObjectStore, ObjectStore, check_path, discard_unfinished, open_objects
from stores.online_writer import OnlineWriter, Written
from stores.pack_reader import AsyncPackStore
from stores.policy_store import ArmStatus, AsyncPolicyStore, PolicyStore
from stores.progress import Progress, progress_of
from stores.record_view import PackHead, RecordView
from stores.redis_log import AsyncRedisEventLog, RedisEventLog
from stores.shadow import AsyncShadowStream, SampledRow, ShadowSample
from stores.statistics import CategoryFacts, CategoryState, Delta, StatisticsStore
from stores.trimming import Trimmed, Trimmer
from stores.union_log import UnionLog, union_entries

__all__ = [
    "ArchivedRange",
    "ArmStatus",
    "AsyncPackStore",
    "AsyncPolicyStore",
    "AsyncRedisEventLog",
    "AsyncShadowStream",
    "AsyncShownStore",
    "CategoryFacts",
    "CategoryState",
    "CreativeIndex",
    "Dataset",
    "DeadLetter",
    "DeadLetters",
    "Delta",
    "EmbeddedRedis",
    "FileEventLog",
    "FileObjectStore",
    "Lineage",
    "LineageState",
    "LineageStore",
    "Move",
    "ObjectStore",
    "OnlineReader",
    "OnlineRow",
    "OnlineWriter",
    "PackHead",
    "PolicyStore",
    "Progress",
    "RecordView",
    "RedisBinary",
    "RedisEventLog",
    "SampledRow",
    "ShadowSample",
    "Shown",
    "StatisticsStore",
    "Trimmed",
    "Trimmer",
    "UnionLog",
    "Written",
    "archived_ranges",
    "archived_through",
    "check_path",
    "connect",
    "connect_async",
    "decode_ref",
    "discard_unfinished",
    "encode_ref",
    "find_redis_server",
    "open_objects",
    "progress_of",
    "read_activity",
    "read_archive",
    "shown_counts",
    "shown_request",
    "translated",
    "trim_safely",
    "union_entries",
    "write_activity",
    "write_archive",
]
