"""The online writer: rows of one view into Feast's online store, each only if it is newer than the one held.

Bytes are Feast's own. Where Feast reads event times, compares and then writes, a script does it in one step, so writers
beside each other, late ones and repeated ones end at the newest row, whatever their order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import redis
from redis import exceptions

from contracts import InvalidInputError, WritePlan, key_prefix, key_value
from stores.connect import command, translated
from stores.feast_encode import encode_timestamp, encoder_of
from stores.feast_values import Value
from stores.round_trip import pack_arguments
from stores.scripts import read_script

# A script holds Redis up for about 5 µs a row: decisions wait no longer than a millisecond.
ROWS_PER_SCRIPT = 200
# So many rows are under way at once.
_ROWS_AT_ONCE = 64 * ROWS_PER_SCRIPT
_MEMO = 16_384
# Types whose values hardly ever come again.
_VARIED = frozenset({"FLOAT", "DOUBLE", "UNIX_TIMESTAMP"})


@dataclass(frozen=True, slots=True)
class Written:
    """What came of rows: ``put``, or refused because the row held is as new or ``newer``."""

    put: int
    newer: int


class OnlineWriter:
    """Writes one view, as a write plan says. Redis must be one server: rows of one script lie in many slots.

    Raises:
        InvalidInputError: if the plan lacks the view.
    """

    def __init__(self, plan: WritePlan, view: str, client: redis.Redis) -> None:
        """Lay out the writes to ``client`` (replies as bytes)."""
        found = plan.find(view)
        if found is None:
            message = f"write plan lacks the view {view!r}: add it to the feature service of streams, and compile again"
            raise InvalidInputError(message)
        entity, planned = found
        self._client = client
        self._view = view
        self._key_type = entity.key_type
        self._prefix = key_prefix(entity.join_key, entity.key_type)
        self._suffix = plan.plan.project.encode()
        self._encoders = [(feature.name, _packed(feature.value_type)) for feature in planned.features]
        fields = [feature.field for feature in planned.features]
        self._head = pack_arguments([b"%d" % plan.key_ttl_s, b"%d" % len(fields), planned.timestamp_field, *fields])
        self._head_arguments = 3 + len(fields)
        self._text, sha = read_script("put_rows")
        self._call = pack_arguments([b"EVALSHA", sha.encode()])

    def write(
        self, keys: Sequence[str], event_us: int | Sequence[int], columns: Mapping[str, Sequence[Value]]
    ) -> Written:
        """Write n rows: entity keys (n), event times in microseconds (one for all, or n), every feature's values (n).

        A time's value is in seconds; None, and a float that is not a number, are nulls.

        Raises:
            InvalidInputError: if lengths or features do not fit, or a key, time or value cannot be written; then
                nothing is.
            UnavailableError: if Redis did not answer; rows may be written or not, and writing again is safe.
            StoreError: if Redis refused, as where a key holds something else.
        """
        times = [event_us] * len(keys) if isinstance(event_us, int) else event_us
        self._check(len(keys), len(times), columns)
        # All is encoded before any is sent: what cannot be written is known by then.
        names = list(map(self._key, keys))
        parts = [
            list(map(_packed_timestamp, times)),
            *(list(map(encode, columns[name])) for name, encode in self._encoders),
        ]
        put = 0
        with translated(f"write rows of {self._view}"):
            for start in range(0, len(names), _ROWS_AT_ONCE):
                at = range(start, min(start + _ROWS_AT_ONCE, len(names)), ROWS_PER_SCRIPT)
                put += sum(self._send(names, parts, at))
        return Written(put, len(names) - put)

    def _check(self, rows: int, times: int, columns: Mapping[str, Sequence[Value]]) -> None:
        expected = {name for name, _ in self._encoders}
        if set(columns) != expected:
            message = f"rows of {self._view} have the features {sorted(columns)}: give all of {sorted(expected)}"
            raise InvalidInputError(message)
        lengths = {"event_us": times} | {name: len(values) for name, values in columns.items()}
        wrong = {name: length for name, length in lengths.items() if length != rows}
        if wrong:
            message = f"{rows} rows of {self._view} have columns of other lengths: {wrong}"
            raise InvalidInputError(message)

    def _key(self, value: str) -> bytes:
        key = b"%b%b%b" % (self._prefix, key_value(self._key_type, value), self._suffix)
        return b"$%d\r\n%b\r\n" % (len(key), key)

    def _script(self, names: Sequence[bytes], parts: Sequence[Sequence[bytes]]) -> bytes:
        """One packed call for rows (n): their packed keys, and packed values by column."""
        count = 3 + len(names) + self._head_arguments + len(names) * len(parts)
        words = [b"*%d\r\n" % count, self._call, pack_arguments([b"%d" % len(names)]), *names, self._head]
        words += chain.from_iterable(zip(*parts, strict=True))
        return b"".join(words)

    def _send(self, names: Sequence[bytes], parts: Sequence[Sequence[bytes]], starts: range) -> list[int]:
        def scripts() -> Iterator[bytes]:
            for at in starts:
                rows = slice(at, min(at + ROWS_PER_SCRIPT, starts.stop))
                yield self._script(names[rows], [part[rows] for part in parts])

        try:
            return _exchange(self._client, scripts())
        except (exceptions.NoScriptError, exceptions.ConnectionError, exceptions.TimeoutError):
            # Redis was started again, or closed an idle connection. However often a row is sent, it is written once.
            command(self._client, "SCRIPT LOAD", self._text)
        return _exchange(self._client, scripts())


def _packed(value_type: str) -> Callable[[Value], bytes]:
    """Encode and pack; remembered where values come again and again."""
    encode = encoder_of(value_type)

    def packed(value: Value) -> bytes:
        data = encode(value)
        return b"$%d\r\n%b\r\n" % (len(data), data)

    return packed if value_type in _VARIED else lru_cache(maxsize=_MEMO, typed=True)(packed)


@lru_cache(maxsize=_MEMO)
def _packed_timestamp(event_us: int) -> bytes:
    return pack_arguments([encode_timestamp(event_us)])


def _exchange(client: redis.Redis, scripts: Iterable[bytes]) -> list[int]:
    """Send packed commands over a connection of the pool, each as soon as it is there; return their answers."""
    pool: Any = client.connection_pool
    connection = pool.get_connection()
    try:
        sent = 0
        for script in scripts:
            # Redis works on it while the next one is packed. Answers are short: they can wait in the socket.
            connection.send_packed_command([script], check_health=sent == 0)
            sent += 1
        answers: list[int] = []
        refused: exceptions.ResponseError | None = None
        for _ in range(sent):
            try:
                answers.append(connection.read_response())
            except exceptions.ResponseError as error:
                # The answers behind it must still be read: the connection serves others next.
                refused = refused or error
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
    if refused is not None:
        raise refused
    return answers
