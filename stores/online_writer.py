"""The online writer: rows of one view into Feast's online store, each only if it is newer than the one held.

Bytes are Feast's own. Where Feast reads event times, compares and then writes, a script does it in one step, so writers
beside each other, late ones and repeated ones end at the newest row, whatever their order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
# Scripts under way at once: the bytes of so many rows are held.
_SCRIPTS_AT_ONCE = 64


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
        self._encoders = [(feature.name, encoder_of(feature.value_type)) for feature in planned.features]
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
        rows = list(
            zip(
                map(self._key, keys),
                map(encode_timestamp, times),
                *(map(encode, columns[name]) for name, encode in self._encoders),
                strict=True,
            )
        )
        scripts = [self._script(rows[at : at + ROWS_PER_SCRIPT]) for at in range(0, len(rows), ROWS_PER_SCRIPT)]
        put = 0
        with translated(f"write rows of {self._view}"):
            for at in range(0, len(scripts), _SCRIPTS_AT_ONCE):
                put += sum(self._send(scripts[at : at + _SCRIPTS_AT_ONCE]))
        return Written(put, len(rows) - put)

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
        return b"%b%b%b" % (self._prefix, key_value(self._key_type, value), self._suffix)

    def _script(self, rows: Sequence[tuple[bytes, ...]]) -> bytes:
        values = [value for row in rows for value in row[1:]]
        count = 3 + len(rows) + self._head_arguments + len(values)
        return b"".join(
            (
                b"*%d\r\n" % count,
                self._call,
                pack_arguments([b"%d" % len(rows), *(row[0] for row in rows)]),
                self._head,
                pack_arguments(values),
            )
        )

    def _send(self, scripts: Sequence[bytes]) -> list[int]:
        try:
            return _exchange(self._client, scripts)
        except exceptions.NoScriptError:
            command(self._client, "SCRIPT LOAD", self._text)
        except (exceptions.ConnectionError, exceptions.TimeoutError):
            # Redis closed an idle connection, or was started again: a row is written once, however often it is sent.
            command(self._client, "SCRIPT LOAD", self._text)
        return _exchange(self._client, scripts)


def _exchange(client: redis.Redis, scripts: Sequence[bytes]) -> list[int]:
    """Send packed commands over one connection of the client's pool and return their answers."""
    pool: Any = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_packed_command(list(scripts))
        answers: list[int] = []
        refused: exceptions.ResponseError | None = None
        for _ in scripts:
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
