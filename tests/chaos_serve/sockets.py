"""Bare sockets to a server: what no HTTP library would send."""

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterable, Iterator

from tests.serving.world import ServerProcess

TIMEOUT_S = 20.0
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
GOOD = {"user": "ann", "placement": "story", "item": {"id": "sofa-1"}}
BODY = json.dumps(GOOD).encode()
DECIDE = b"POST /v1/decide HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


@contextlib.contextmanager
def connection(server: ServerProcess, timeout_s: float = TIMEOUT_S) -> Iterator[socket.socket]:
    """A connection to the server."""
    with socket.create_connection((server.config.host, server.config.port), timeout=timeout_s) as found:
        yield found


def until_closed(found: socket.socket, patience_s: float = TIMEOUT_S) -> bytes:
    """All that comes until the server hangs up."""
    pieces = []
    deadline = time.monotonic() + patience_s
    with contextlib.suppress(ConnectionError):
        while piece := found.recv(1 << 20):
            pieces.append(piece)
            assert time.monotonic() < deadline, "the server does not hang up"
    return b"".join(pieces)


def send_all(found: socket.socket, pieces: Iterable[bytes], pause_s: float = 0.0) -> bool:
    """Send what the server takes; returns whether it took everything."""
    try:
        for piece in pieces:
            found.sendall(piece)
            time.sleep(pause_s)
    except ConnectionError:
        return False
    return True


def statuses(answers: bytes) -> list[int]:
    """Status codes of answers that came one behind the other."""
    return [int(status) for status in _STATUS.findall(answers)]


def ask(server: ServerProcess, data: bytes, *, half_close: bool = True) -> list[int]:
    """Send bytes, say that they were all, and return the statuses of what comes back."""
    with connection(server) as found:
        send_all(found, [data])
        if half_close:
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_WR)
        return statuses(until_closed(found))
