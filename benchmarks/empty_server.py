"""The server's stack with nothing behind it: ``python -m benchmarks.empty_server <port>``."""

import gc
import socket
import sys

import uvicorn

from serving.http import Receive, Scope, Send
from serving.metrics import Metrics
from serving.protocol import ConnectionLimits, bounded_protocol
from serving.stack import uvicorn_config

_START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
_LIMITS = ConnectionLimits(connections=10_000, head_bytes=16_384, head_s=10.0, idle_s=30.0)
_BODY = {"type": "http.response.body", "body": b"{}"}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the request, answer ``{}``."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send(_BODY)


def main(port: int) -> None:
    """Serve until told to end."""
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    gc.collect()
    gc.freeze()
    protocol = bounded_protocol(_LIMITS, Metrics())
    uvicorn.Server(uvicorn_config(app, protocol, drain_ms=1000)).run(sockets=[listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
