"""The event log on Redis Streams: one stream a partition; an entry's id is the log's own time of it.

Redis makes ids that always rise, also when its clock steps back (the millisecond then stands still). The
log's clock is Redis TIME read in the same MULTI as the entries. A machine whose clock steps back by more
than an idle reader waits would let that reader's watermark run ahead of the next entry: keep its clock slewed.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import redis
import redis.asyncio

from contracts import ORIGIN, InvalidInputError, LogEntry, LogRead, Position, SettingsError, keys
from stores.connect import Command, command, command_async, transaction, transaction_async, translated

MAX_ENTRY_BYTES = 64 * 1024 * 1024
FIELD = b"b"

# The mark is the position behind the last entry that went, so that no gap is seen where nothing is missing.
_TRIM = """
local gone = redis.call('XREVRANGE', KEYS[1], '(' .. ARGV[1], '-', 'COUNT', 1)
if #gone == 0 then return 0 end
local ms, seq = string.match(gone[1][1], '^(%d+)-(%d+)$')
redis.call('SET', KEYS[2], ms .. '-' .. string.format('%.0f', tonumber(seq) + 1))
return redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
"""


class RedisEventLog:
    """``EventLog`` on Redis Streams; entries are at most ``MAX_ENTRY_BYTES`` long."""

    def __init__(self, client: redis.Redis, partitions: int = 4) -> None:
        """Use ``client`` (replies as bytes)."""
        self._client = client
        self._partitions = _checked_partitions(partitions)

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return self._partitions

    def require_partitions(self) -> None:
        """Note how many partitions the log has, or check that it was begun with as many.

        Raises:
            SettingsError: if it was begun with another number: entries would go where no reader looks.
        """
        with translated("read the event log's partitions"):
            wanted, stored = self._partitions, keys.EVENTS_PARTITIONS
            _, found = transaction(self._client, [("SETNX", stored, wanted), ("GET", stored)])
        if int(found) != wanted:
            message = (
                f"partitions = {wanted}: the event log was begun with {int(found)}, and facts in the others would be "
                f"missed: set partitions = {int(found)} wherever the log is written or read"
            )
            raise SettingsError(message)

    def append(self, partition: int, blobs: Sequence[bytes]) -> tuple[Position, ...]:
        """Append blobs in order, all or none; returns their positions when Redis has them.

        Raises:
            InvalidInputError: if the partition does not exist or a blob is too long.
            UnavailableError: if Redis did not confirm; the blobs may be there or not, so append them again.
        """
        commands = _appends(_checked(partition, self._partitions), blobs)
        if not commands:
            return ()
        with translated(f"append to partition {partition} of the event log"):
            return _positions(transaction(self._client, commands))

    def read(self, partition: int, after: Position, limit: int) -> LogRead:
        """Up to ``limit`` entries behind ``after``, with the log's clock of the same instant.

        Raises:
            InvalidInputError: if the partition does not exist or ``limit`` is below 1.
            UnavailableError: if Redis did not answer; there is then no clock either.
        """
        _require_limit(limit)
        stream = keys.events(_checked(partition, self._partitions))
        with translated(f"read partition {partition} of the event log"):
            found, (seconds, micros) = transaction(
                self._client, [("XRANGE", stream, f"({after}", "+", "COUNT", limit), ("TIME",)]
            )
        entries = tuple(
            LogEntry(partition, Position.parse(key.decode()), fields.get(FIELD, b"")) for key, fields in found
        )
        log_ms = seconds * 1000 + micros // 1000
        return LogRead(entries, max(log_ms, entries[-1].append_ms) if entries else log_ms)

    def first(self, partition: int) -> Position | None:
        """Position of the oldest entry kept, or None if there is none."""
        stream = keys.events(_checked(partition, self._partitions))
        with translated(f"read partition {partition} of the event log"):
            found = command(self._client, "XRANGE", stream, "-", "+", "COUNT", 1)
        return Position.parse(found[0][0].decode()) if found else None

    def last(self, partition: int) -> Position:
        """Position of the newest entry ever appended (``ORIGIN`` if none), though it may be trimmed."""
        stream = keys.events(_checked(partition, self._partitions))
        with translated(f"read partition {partition} of the event log"):
            exists, found = transaction(self._client, [("EXISTS", stream), ("XREVRANGE", stream, "+", "-", "COUNT", 1)])
            if found:
                return Position.parse(found[0][0].decode())
            if not exists:
                return ORIGIN
            return Position.parse(_last_generated(command(self._client, "XINFO STREAM", stream)))

    def trimmed(self, partition: int) -> Position:
        """Position below which entries may be gone (``ORIGIN`` if nothing was ever trimmed)."""
        with translated(f"read partition {partition} of the event log"):
            mark = command(self._client, "GET", keys.events_trimmed(_checked(partition, self._partitions)))
        return ORIGIN if mark is None else Position.parse(mark.decode())

    def trim(self, partition: int, below: Position) -> int:
        """Forget entries whose position is below ``below``; returns how many. Mark and entries change at once."""
        checked = _checked(partition, self._partitions)
        if below <= ORIGIN:
            return 0
        with translated(f"trim partition {partition} of the event log"):
            stream, mark = keys.events(checked), keys.events_trimmed(checked)
            return int(command(self._client, "EVAL", _TRIM, 2, stream, mark, str(below)))

    def clock_ms(self) -> int:
        """The log's clock now (Redis TIME), milliseconds since the Unix epoch."""
        with translated("read the event log's clock"):
            seconds, micros = command(self._client, "TIME")
        return int(seconds) * 1000 + int(micros) // 1000


class AsyncRedisEventLog:
    """The writing side of ``RedisEventLog`` for asyncio."""

    def __init__(self, client: redis.asyncio.Redis, partitions: int = 4) -> None:
        """Use ``client`` (replies as bytes)."""
        self._client = client
        self._partitions = _checked_partitions(partitions)

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return self._partitions

    async def append(self, partition: int, blobs: Sequence[bytes]) -> tuple[Position, ...]:
        """Append blobs in order, all or none; returns their positions when Redis has them.

        Raises:
            InvalidInputError: if the partition does not exist or a blob is too long.
            UnavailableError: if Redis did not confirm; the blobs may be there or not, so append them again.
        """
        commands = _appends(_checked(partition, self._partitions), blobs)
        if not commands:
            return ()
        with translated(f"append to partition {partition} of the event log"):
            return _positions(await transaction_async(self._client, commands))

    async def clock_ms(self) -> int:
        """The log's clock now (Redis TIME), milliseconds since the Unix epoch."""
        with translated("read the event log's clock"):
            seconds, micros = await command_async(self._client, "TIME")
        return int(seconds) * 1000 + int(micros) // 1000


def _appends(partition: int, blobs: Sequence[bytes]) -> list[Command]:
    for blob in blobs:
        if len(blob) > MAX_ENTRY_BYTES:
            message = f"log entry has {len(blob)} bytes, the limit is {MAX_ENTRY_BYTES}: append smaller batches"
            raise InvalidInputError(message)
    return [("XADD", keys.events(partition), "*", FIELD, blob) for blob in blobs]


def _positions(answers: Iterable[bytes]) -> tuple[Position, ...]:
    return tuple(Position.parse(answer.decode()) for answer in answers)


def _last_generated(info: Any) -> str:
    found: bytes = info["last-generated-id"]
    return found.decode()


def _checked_partitions(partitions: int) -> int:
    if partitions < 1:
        message = f"partitions = {partitions}: must be at least 1"
        raise InvalidInputError(message)
    return partitions


def _checked(partition: int, partitions: int) -> int:
    if not 0 <= partition < partitions:
        message = f"partition {partition} does not exist: the log has partitions 0 to {partitions - 1}"
        raise InvalidInputError(message)
    return partition


def _require_limit(limit: int) -> None:
    if limit < 1:
        message = f"limit = {limit}: must be at least 1"
        raise InvalidInputError(message)
