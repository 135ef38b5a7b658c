"""HTTP load on loopback from one process: bare sockets, requests made beforehand, latency from the due time."""

import gc
import random
import select
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_STATUS = slice(9, 12)
_PATIENCE_S = 10.0
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Call:
    """A request's bytes; only those with ``timed`` enter the latencies."""

    data: bytes
    timed: bool = True


@dataclass(frozen=True, slots=True)
class Load:
    """What came back: ``latencies`` (seconds, ascending) of timed calls, ``bodies`` of the first few."""

    answers: int
    timed: int
    seconds: float
    latencies: Sequence[float]
    statuses: frozenset[bytes]
    bodies: Sequence[bytes]

    def quantile(self, share: float) -> float:
        """The latency (seconds) that ``share`` of the calls did not exceed."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def post(path: str, body: bytes) -> bytes:
    """A POST of JSON on a connection that stays open."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + _HEAD_END + body


def get(path: str) -> bytes:
    """A GET on a connection that stays open."""
    return f"GET {path} HTTP/1.1\r\nhost: localhost".encode() + _HEAD_END


def drive(
    port: int,
    calls: Sequence[Call],
    *,
    connections: int,
    seconds: float,
    rate: float | None = None,
    seed: int = 0,
    count: int = 0,
) -> Load:
    """Send ``calls`` round and round for ``seconds``, and at least ``count`` of them, one at a time a connection.

    Without ``rate`` each connection asks again as soon as it is answered. With it, calls fall due at that mean rate
    a second, at random moments fixed beforehand, whatever the server does; one that finds all connections busy waits,
    and its latency runs from when it was due.

    Raises:
        ConnectionError: if the server hangs up or leaves a call unanswered for ten seconds.
    """
    lines = [_Line(port) for _ in range(connections)]
    enabled = gc.isenabled()
    gc.disable()
    try:
        return _Run(calls, seconds, count, _due(rate, seconds, seed)).of(lines)
    finally:
        if enabled:
            gc.enable()
        for line in lines:
            line.socket.close()


class _Line:
    """One connection and the call that is under way on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.timed = True
        self._got = b""
        self._size = 0

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, call: Call, due: float) -> None:
        self.due, self.timed, self._got, self._size = due, call.timed, b"", 0
        self.socket.sendall(call.data)

    def receive(self) -> bytes | None:
        """Take what has come; the whole answer once it is there."""
        data = self.socket.recv(_CHUNK)
        if not data:
            message = "the server hung up"
            raise ConnectionError(message)
        self._got = self._got + data if self._got else data
        if not self._size:
            head = self._got.find(_HEAD_END)
            if head < 0:
                return None
            at = self._got.lower().index(_LENGTH) + len(_LENGTH)
            self._size = head + len(_HEAD_END) + int(self._got[at : self._got.index(b"\r\n", at)])
        return self._got if len(self._got) >= self._size else None


def _due(rate: float | None, seconds: float, seed: int) -> deque[float] | None:
    if rate is None:
        return None
    rng, at, times = random.Random(seed), 0.0, deque[float]()
    while (at := at + rng.expovariate(rate)) < seconds:
        times.append(at)
    return times


@dataclass
class _Run:
    calls: Sequence[Call]
    seconds: float
    count: int
    due: deque[float] | None
    latencies: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    statuses: set[bytes] = field(default_factory=set)
    answers: int = 0

    def of(self, lines: Sequence[_Line]) -> Load:
        free, busy, sent = list(lines), set[_Line](), 0
        began = perf_counter()
        while True:
            now = perf_counter() - began
            over = (now >= self.seconds and sent >= self.count) if self.due is None else not self.due
            if over and not busy:
                break
            while free and not over and (self.due is None or (self.due and self.due[0] <= now)):
                line = free.pop()
                line.send(self.calls[sent % len(self.calls)], now if self.due is None else self.due.popleft())
                busy.add(line)
                sent += 1
            pause = max(0.0, self.due[0] - now) if self.due and free else _PATIENCE_S
            # select and not epoll: its time-outs are microseconds, not milliseconds.
            ready = select.select(busy, (), (), pause)[0]
            if not ready and pause == _PATIENCE_S:
                message = f"no answer within {_PATIENCE_S:.0f} s"
                raise ConnectionError(message)
            for line in ready:
                answer = line.receive()
                if answer is not None:
                    self._take(line, answer, perf_counter() - began)
                    busy.discard(line)
                    free.append(line)
        return Load(
            self.answers,
            len(self.latencies),
            perf_counter() - began,
            sorted(self.latencies),
            frozenset(self.statuses),
            self.bodies,
        )

    def _take(self, line: _Line, answer: bytes, now: float) -> None:
        self.answers += 1
        self.statuses.add(answer[_STATUS])
        if line.timed:
            self.latencies.append(now - line.due)
            if len(self.bodies) < 100:
                self.bodies.append(answer.partition(_HEAD_END)[2])
