"""Redis, event log, archive and object stores behind small interfaces."""

from stores.connect import connect, connect_async, translated
from stores.embedded import EmbeddedRedis, RedisBinary, find_redis_server
from stores.redis_log import AsyncRedisEventLog, RedisEventLog

__all__ = [
    "AsyncRedisEventLog",
    "EmbeddedRedis",
    "RedisBinary",
    "RedisEventLog",
    "connect",
    "connect_async",
    "find_redis_server",
    "translated",
]
