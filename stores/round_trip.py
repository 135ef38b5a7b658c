"""Commands packed by hand and sent over a connection of the client's pool, all in one round trip.

redis-py's own pipeline spends several times Redis's time on objects per command; this sends ready bytes and
returns bare replies. Connection set-up, authentication and time-outs stay redis-py's.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import redis.asyncio
from redis import exceptions

from stores.connect import translated

# nil, or what the command answers: a list for HMGET; HGETALL is a list in RESP2, a dict in RESP3.
Reply = Any


def pack_arguments(arguments: Sequence[bytes]) -> bytes:
    """Arguments as RESP bulk strings."""
    return b"".join(b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in arguments)


def pack_command(*words: bytes) -> bytes:
    """A command in RESP."""
    return b"*%d\r\n%b" % (len(words), pack_arguments(words))


async def round_trip(client: redis.asyncio.Redis, commands: Sequence[bytes], doing: str) -> list[Reply]:
    """Send packed read commands at once and return their replies in order; a broken connection is renewed once.

    Raises:
        UnavailableError: if Redis does not answer; ``doing`` completes "could not ...".
        StoreError: if Redis refuses a command.
    """
    pool: Any = client.connection_pool
    packed = b"".join(commands)
    with translated(doing):
        connection = await pool.get_connection()
        # While it is ours alone, one time-out for the whole exchange: one for each reply costs more than the replies.
        limit_s, connection.socket_timeout = connection.socket_timeout, None
        try:
            async with asyncio.timeout(limit_s):
                try:
                    return await _exchange(connection, packed, len(commands))
                except exceptions.ConnectionError:
                    # Redis closed an idle connection; these are reads, so asking again is safe.
                    return await _exchange(connection, packed, len(commands))
        finally:
            connection.socket_timeout = limit_s
            await pool.release(connection)


async def _exchange(connection: Any, packed: bytes, count: int) -> list[Reply]:
    await connection.send_packed_command(packed)
    replies: list[Reply] = []
    refused: exceptions.ResponseError | None = None
    for _ in range(count):
        try:
            replies.append(await connection.read_response())
        except exceptions.ResponseError as error:
            # The replies behind it must still be read: the connection serves others next.
            refused = refused or error
    if refused is not None:
        raise refused
    return replies
