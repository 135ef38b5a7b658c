"""A lean HTTP/1.1 client: a few keep-alive connections, requests as bytes, no per-request objects beyond a future."""

import asyncio
import collections
from dataclasses import dataclass
from typing import cast

import httptools

from contracts import UnavailableError


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status and whole body."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests may be sent before earlier answers came (they come in order)."""

    def __init__(self) -> None:
        self.waiting: collections.deque[asyncio.Future[Reply]] = collections.deque()
        self.open = False
        self._transport: asyncio.WriteTransport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # Not every loop's transports inherit from asyncio's (uvloop's do not).
        self._transport = cast(asyncio.WriteTransport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what is not HTTP closes the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the server's answer is not HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail whoever still waits."""
        self._fail(f"the server closed the connection ({exc or 'no reason given'})")

    def on_body(self, body: bytes) -> None:
        """Collect (called by the parser)."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the answer to who waits longest (called by the parser)."""
        reply = Reply(self._parser.get_status_code(), b"".join(self._body))
        self._body.clear()
        keep = self._parser.should_keep_alive()
        if self.waiting:
            future = self.waiting.popleft()
            if not future.done():
                future.set_result(reply)
        if not keep:
            self._fail("the server asked for the connection to be closed")

    def send(self, data: bytes, future: "asyncio.Future[Reply]") -> None:
        """Send one request, whole."""
        self.waiting.append(future)
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close; waiting requests fail."""
        self._fail("the client closed the connection")

    def _fail(self, reason: str) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.close()
        while self.waiting:
            future = self.waiting.popleft()
            if not future.done():
                future.set_exception(UnavailableError(reason))


class Client:
    """A pool of ``connections`` keep-alive connections to one host; lost ones are opened again when needed."""

    def __init__(self, host: str, port: int, connections: int = 8, timeout_s: float = 10.0) -> None:
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._pool: list[Connection] = []
        self._size = connections
        self._opening = asyncio.Lock()
        self._head = f" HTTP/1.1\r\nhost: {host}:{port}\r\n".encode()

    async def get(self, path: str) -> Reply:
        """Load a path.

        Raises:
            UnavailableError: if the server cannot be reached or does not answer in time.
        """
        return await self._request(b"GET " + path.encode() + self._head + b"\r\n")

    async def post(self, path: str, body: bytes) -> Reply:
        """Post JSON.

        Raises:
            UnavailableError: if the server cannot be reached or does not answer in time.
        """
        length = str(len(body)).encode()
        head = b"content-type: application/json\r\ncontent-length: " + length + b"\r\n\r\n"
        return await self._request(b"POST " + path.encode() + self._head + head + body)

    async def close(self) -> None:
        """Close all connections."""
        for connection in self._pool:
            connection.close()
        self._pool.clear()

    async def _request(self, data: bytes) -> Reply:
        connection = await self._connection()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        connection.send(data, future)
        # A timer handle is cheaper than wait_for, which would wrap the future once more.
        timer = loop.call_later(self._timeout_s, _expire, connection, self._timeout_s)
        try:
            return await future
        finally:
            timer.cancel()

    async def _connection(self) -> Connection:
        best: Connection | None = None
        alive = 0
        for connection in self._pool:
            if connection.open:
                alive += 1
                if not connection.waiting:
                    return connection
                if best is None or len(connection.waiting) < len(best.waiting):
                    best = connection
        if alive >= self._size and best is not None:
            return best
        return await self._open()

    async def _open(self) -> Connection:
        async with self._opening:
            self._pool = [connection for connection in self._pool if connection.open]
            if len(self._pool) >= self._size:
                return min(self._pool, key=lambda connection: len(connection.waiting))
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(self._timeout_s):
                    _, connection = await loop.create_connection(Connection, self._host, self._port)
            except (OSError, TimeoutError) as error:
                message = f"no server answers at {self._host}:{self._port} ({error}): is it running?"
                raise UnavailableError(message) from error
            self._pool.append(connection)
            return connection


def _expire(connection: Connection, timeout_s: float) -> None:
    connection._fail(f"the server did not answer within {timeout_s:g} s")
