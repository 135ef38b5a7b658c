"""Commands packed by hand and sent over one connection of a client's pool, many callers' at once.

redis-py's own pipeline spends several times Redis's time on objects per command, and as much again on lending a
connection for each request. Here a connection is borrowed once; requests are written as they come, those of one turn
of the event loop together, and their replies, which Redis gives in the same order, are handed out as they arrive.
Connection set-up, authentication, TLS and time-outs stay redis-py's.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import hiredis
import redis.asyncio
from redis import exceptions

from contracts import StoreError, UnavailableError
from stores.connect import closing, translation

# nil, or what the command answers: a list for HMGET; HGETALL is a list in RESP2, a dict in RESP3.
Reply = Any

# Requests that may wait for their replies: behind so many a new one would miss its deadline anyway.
MAX_WAITING = 1024

_MORE = object()


def pack_arguments(arguments: Sequence[bytes]) -> bytes:
    """Arguments as RESP bulk strings."""
    return b"".join(b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in arguments)


def pack_command(*words: bytes) -> bytes:
    """A command in RESP."""
    return b"*%d\r\n%b" % (len(words), pack_arguments(words))


class Wire:
    """Sends packed commands of any number of callers in one event loop, each in one round trip.

    They must be such that may be repeated, as reads are.
    It borrows a connection of the client's pool at the first request and keeps it: closing the client closes it.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """Nothing is connected yet."""
        self._pool: Any = client.connection_pool
        self._connection: Any = None
        self._line: _Line | None = None
        self._opening: asyncio.Task[_Line] | None = None

    async def ask(self, commands: Sequence[bytes], doing: str) -> list[Reply]:
        """Send packed commands at once and return their replies in order; a broken connection is renewed once.

        Raises:
            UnavailableError: if Redis does not answer, or too many requests wait; ``doing`` completes "could not ...".
            StoreError: if Redis refuses a command.
        """
        return await self._ask(commands, doing, each=False)

    async def ask_each(self, commands: Sequence[bytes], doing: str) -> list[Reply | StoreError]:
        """As ``ask``, but with the error in place of each reply to a command that Redis refuses.

        Raises:
            UnavailableError: if Redis does not answer, or answers "not now".
        """
        replies = await self._ask(commands, doing, each=True)
        found = [translation(r, doing) if isinstance(r, exceptions.ResponseError) else r for r in replies]
        for reply in found:
            if isinstance(reply, UnavailableError):
                raise reply
        return found

    async def _ask(self, commands: Sequence[bytes], doing: str, *, each: bool) -> list[Reply]:
        # Not ``with translated``: a context manager in Python would be a tenth of a small read.
        try:
            line = self._line
            if line is not None and line.open:
                try:
                    return await line.ask(commands, each)
                except exceptions.ConnectionError:
                    # Redis closed the connection; asking again is safe.
                    if line.open:
                        raise
            return await (await self._opened()).ask(commands, each)
        except (exceptions.RedisError, OSError) as error:
            raise translation(error, doing) from error
        except RuntimeError as error:
            raise closing(error, doing) from error

    async def _opened(self) -> "_Line":
        """The connection, made anew by whoever comes first; all others wait for the same attempt."""
        if self._line is not None and self._line.open:
            return self._line
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open())
            # Those who asked may have given up: then nobody else looks at a failure.
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._opening)

    async def _open(self) -> "_Line":
        if self._connection is not None:
            broken, self._connection = self._connection, None
            await broken.disconnect(nowait=True)
            await self._pool.release(broken)
        self._connection = await self._pool.get_connection()
        self._line = _Line(self._connection)
        return self._line


class _Request:
    __slots__ = ("answered", "asked_s", "count", "each", "refused", "replies")

    def __init__(self, count: int, answered: asyncio.Future[list[Reply]], asked_s: float, each: bool) -> None:
        self.count = count
        self.each = each
        self.answered = answered
        self.asked_s = asked_s
        self.replies: list[Reply] = []
        self.refused: exceptions.ResponseError | None = None


class _Line(asyncio.Protocol):
    """Takes over a connection that redis-py has set up."""

    def __init__(self, connection: Any) -> None:
        self.open = True
        self._loop = asyncio.get_running_loop()
        self._limit_s: float | None = connection.socket_timeout
        self._waiting: deque[_Request] = deque()
        self._unsent: list[bytes] = []
        self._watching = False
        self._reader = hiredis.Reader(
            protocolError=exceptions.InvalidResponse, replyError=exceptions.ResponseError, notEnoughData=_MORE
        )
        self._transport: Any = connection._writer.transport
        # redis-py waits for its own protocol to learn of the end when it closes the connection.
        self._former = self._transport.get_protocol()
        self._transport.set_protocol(self)

    def ask(self, commands: Sequence[bytes], each: bool) -> asyncio.Future[list[Reply]]:
        if len(self._waiting) >= MAX_WAITING:
            message = f"{len(self._waiting)} requests wait for replies, the limit: ask less at a time"
            raise exceptions.ConnectionError(message)
        answered: asyncio.Future[list[Reply]] = self._loop.create_future()
        if not commands:
            answered.set_result([])
            return answered
        self._waiting.append(_Request(len(commands), answered, self._loop.time(), each))
        if not self._unsent:
            # Each write is a system call at once: those of all who ask in this turn of the loop are made one.
            self._loop.call_soon(self._send)
        self._unsent += commands
        if not self._watching and self._limit_s is not None:
            self._watching = True
            self._loop.call_later(self._limit_s, self._watch, self._limit_s)
        return answered

    def _send(self) -> None:
        """Write what has been asked since the last turn of the loop."""
        unsent, self._unsent = self._unsent, []
        if self.open:
            self._transport.write(b"".join(unsent))

    def data_received(self, data: bytes) -> None:
        """Hand out what has come."""
        self._reader.feed(data)
        gets, waiting = self._reader.gets, self._waiting
        try:
            while (reply := gets()) is not _MORE:
                kind = type(reply)
                if kind is hiredis.PushNotification:
                    continue
                request = waiting[0]
                replies = request.replies
                replies.append(reply)
                if kind is exceptions.ResponseError:
                    # The replies behind it are still read: they belong to nobody else.
                    request.refused = request.refused or reply
                if len(replies) == request.count:
                    _settle(waiting.popleft())
        except (IndexError, exceptions.InvalidResponse) as error:
            self._end(exceptions.InvalidResponse(f"replies are not those of the requests ({error!r})"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait."""
        self._former.connection_lost(exc)
        self._end(exceptions.ConnectionError(f"the connection was closed ({exc or 'by Redis or by us'})"))

    def _watch(self, limit_s: float) -> None:
        """Give the connection up once its oldest request has waited for too long."""
        if not self._waiting or not self.open:
            self._watching = False
            return
        left_s = self._waiting[0].asked_s + limit_s - self._loop.time()
        if left_s <= 0:
            self._end(exceptions.TimeoutError(f"no reply within {limit_s} s"))
        else:
            self._loop.call_later(left_s, self._watch, limit_s)

    def _end(self, error: exceptions.RedisError) -> None:
        if self.open:
            self.open = False
            self._transport.abort()
        while self._waiting:
            answered = self._waiting.popleft().answered
            if not answered.done():
                # One each: raising an error changes it.
                answered.set_exception(type(error)(*error.args))


def _settle(request: _Request) -> None:
    answered = request.answered
    if answered.done():
        return
    if request.refused is None or request.each:
        answered.set_result(request.replies)
    else:
        answered.set_exception(request.refused)
