"""HTTP connections with limits: uvicorn's protocol, and an end for those that cost more than they ask for."""

import asyncio
import resource
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from serving.config import ServerConfig
from serving.http import error_response
from serving.joined import JoinedWrites
from serving.metrics import Metrics

MAX_URL_BYTES = 12_288
MAX_HEADERS = 100
MAX_PIPELINED = 64
MAX_UNREAD_BYTES = 64 * 1024 * 1024
LEAST_READ_BYTES = 16_384

# Descriptors that are not connections of clients: Redis, files, listeners.
_RESERVED_DESCRIPTORS = 256
_LEAST_CONNECTIONS = 64
# When there is no room, so large a part of the idle connections goes at once: looking for them costs a pass over all.
_CUT_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections a process holds, and what each may cost; times in seconds, sizes in bytes.

    ``head_bytes`` bounds a request's line and headers together, ``head_s`` the time they may take, ``idle_s`` the
    time a connection may stay open without a request, or while its client reads less than ``LEAST_READ_BYTES``.
    """

    connections: int
    head_bytes: int
    head_s: float
    idle_s: float


def connection_limits(config: ServerConfig) -> ConnectionLimits:
    """The limits that ``config`` asks for and this process can hold: it takes all the descriptors it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = config.max_connections
    if hard != resource.RLIM_INFINITY:
        room = min(room, max(_LEAST_CONNECTIONS, hard - _RESERVED_DESCRIPTORS))
    return ConnectionLimits(room, config.head_limit_bytes, config.head_timeout_ms / 1000, config.idle_ms / 1000)


def bounded_protocol(limits: ConnectionLimits, metrics: Metrics) -> type[asyncio.Protocol]:
    """The protocol class for ``uvicorn.Config(http=...)``."""
    return type("Connection", (BoundedProtocol,), {"limits": limits, "metrics": metrics})


class BoundedProtocol(HttpToolsProtocol):
    """One client's connection.

    uvicorn bounds neither a request's head, nor the time it takes, nor how long a new connection may say nothing,
    nor how many requests wait behind each other in one, nor how many connections there are.
    """

    limits: ConnectionLimits
    metrics: Metrics

    def __init__(self, *args: Any, **options: Any) -> None:
        """Begin without a request."""
        super().__init__(*args, **options)
        self.timeout_keep_alive: float = self.limits.idle_s  # type: ignore[assignment]
        self._running: RequestResponseCycle | None = None
        self._in_head = False
        self._may_be_large = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self._excess: tuple[int, str, str] | None = None
        self._refusal: bytes | None = None

    @property
    def asking(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; it may stay without a request for as long as between two."""
        joined: Any = JoinedWrites(transport, self.loop)
        super().connection_made(joined)
        self.timeout_keep_alive_task = self.loop.call_later(self.limits.idle_s, self.timeout_keep_alive_handler)
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        for timer in (self._head_timer, self._stall_timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self._end_requests()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; unlike uvicorn's, only a new request ends the wait for one."""
        if self._refusal is not None:
            return
        went_on = self._in_head
        self._may_be_large = went_on or len(data) > self.limits.head_bytes
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # There is nothing to upgrade to: the request itself is answered.
            pass
        except httptools.HttpParserError:
            self._refuse(*(self._excess or (400, "not_http", "this is not an HTTP/1.1 request")))
            return
        if not self._in_head:
            return
        # A head that began in this piece is at most one read long so far.
        self._head_bytes = self._head_bytes + len(data) if went_on else 0
        if self._head_bytes > self.limits.head_bytes:
            self._refuse(*_head_too_large(self.limits.head_bytes))
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.limits.head_s, self._head_too_slow)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more: what it asked for is still answered."""
        if not self.asking or self.cycle.more_body:
            return None
        # A refusal that still waits for its turn hangs up by itself.
        self.cycle.keep_alive = self._refusal is not None
        return True

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._unread_bytes = 0
        self._unset_keepalive_if_required()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A request's head is there: take it if it is within the limits."""
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._unset_keepalive_if_required()
        self._excess = self._beyond()
        if self._excess is not None:
            # The parser turns it into its own error, which ``data_received`` answers.
            raise ValueError(self._excess[1])
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body; of one that nobody reads any more, only so much."""
        if self.cycle.response_complete:
            self._unread_bytes += len(body)
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self._cut("unread_body")
            return
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Go on with the next request, or say why there is none."""
        super().on_response_complete()
        if self._refusal is not None and not self.pipeline and not self.asking:
            self._send_refusal()

    def pause_writing(self) -> None:
        """The client does not read its answers: wait, not for ever."""
        super().pause_writing()
        if self._stall_timer is None:
            self._watch_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """No request came for too long."""
        if not self.transport.is_closing():
            self.metrics.connection_cut("idle")
            self.transport.close()

    def _beyond(self) -> tuple[int, str, str] | None:
        """What of the head is beyond its limit, as status, reason and detail."""
        if len(self.url) > MAX_URL_BYTES:
            return 414, "url_too_long", f"the URL has {len(self.url)} bytes, the limit is {MAX_URL_BYTES}"
        if len(self.headers) > MAX_HEADERS:
            return 431, "too_many_headers", f"the request has {len(self.headers)} headers, the limit is {MAX_HEADERS}"
        # A head that came in one small piece need not be added up.
        if self._may_be_large and self._size() > self.limits.head_bytes:
            return _head_too_large(self.limits.head_bytes)
        if len(self.pipeline) >= MAX_PIPELINED:
            return 400, "too_many_pipelined", f"more than {MAX_PIPELINED} requests wait: read the answers first"
        return None

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _watch_reading(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(self.limits.idle_s, self._look_at_reading, waiting)

    def _look_at_reading(self, waited: int) -> None:
        if waited - self.transport.get_write_buffer_size() < LEAST_READ_BYTES:
            self._hang_up("stalled")
        else:
            # A slow link, but one that reads.
            self._watch_reading()

    def _head_too_slow(self) -> None:
        self._head_timer = None
        detail = f"the request's head did not arrive within {self.limits.head_s:g} s"
        self._refuse(408, "slow_head", detail)

    def _refuse(self, status: int, reason: str, detail: str) -> None:
        """Answer what is no request, behind the answers that are still due, and hang up."""
        self.metrics.rejected(reason)
        answer = error_response(status, reason, detail)
        lines = [STATUS_LINE[status], b"connection: close\r\ncontent-type: %b\r\n" % answer.content_type]
        lines += [b"content-length: %d\r\n" % len(answer.body)]
        lines += [b"%b: %b\r\n" % header for header in answer.headers]
        self._refusal = b"".join([*lines, b"\r\n", answer.body])
        if self.asking and self.cycle.more_body:
            # What is no HTTP is this request's own body: its handler waits for the rest in vain.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif self.asking:
            self.flow.pause_reading()
            return
        self._send_refusal()

    def _send_refusal(self) -> None:
        if self._refusal is not None and not self.transport.is_closing():
            self.transport.write(self._refusal)
            self.transport.close()

    def _make_room(self) -> None:
        """Hang up on idle connections, those that never asked for anything first; on this one if there are none."""
        others = [found for found in self.connections if isinstance(found, BoundedProtocol) and found is not self]
        idle = sorted((found for found in others if not found.asking), key=lambda found: found.cycle is not None)
        for found in idle[: max(1, self.limits.connections // _CUT_AT_ONCE)] or [self]:
            found._cut("no_room")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _end_requests(self) -> None:
        """Tell the request in hand, and not only the newest one, that nobody waits for its answer."""
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def _cut(self, reason: str) -> None:
        if not self.transport.is_closing():
            self._hang_up(reason)

    def _hang_up(self, reason: str) -> None:
        """Close at once, also a connection that closes behind answers that nobody reads."""
        self.metrics.connection_cut(reason)
        self._end_requests()
        self.transport.abort()


def _head_too_large(limit_bytes: int) -> tuple[int, str, str]:
    return 431, "head_too_large", f"the request's line and headers are larger than {limit_bytes} bytes"
