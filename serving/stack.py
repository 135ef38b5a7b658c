"""How uvicorn is set up, for the server and for what its cost is measured against."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import uvicorn

from serving.http import Receive, Scope, Send

Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


def uvicorn_config(
    app: Asgi, protocol: type[asyncio.Protocol], *, drain_ms: int, lifespan: Literal["on", "off"] = "on"
) -> uvicorn.Config:
    """Settings for an ASGI application that may take ``drain_ms`` to finish what is under way."""
    return uvicorn.Config(
        app,
        http=protocol,
        loop="uvloop",
        ws="none",
        lifespan=lifespan,
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        # Nothing here asks who the client is.
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, drain_ms // 1000),
    )
