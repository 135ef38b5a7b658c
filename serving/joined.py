"""A transport that writes the head and the body of an answer together."""

import asyncio
from typing import Any


class JoinedWrites:
    """Keeps a write back until the next one, or the next turn of the event loop, and makes one of both.

    uvicorn writes an answer's head and body one after the other, and uvloop makes of each write a system call at
    once: two for an answer, of which the client may be woken by the first in vain.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Write to ``transport``."""
        self._transport = transport
        self._loop = loop
        self._kept: bytes | None = None

    def write(self, data: bytes) -> None:
        """Write, behind what was kept back."""
        kept = self._kept
        if kept is None:
            self._kept = data
            self._loop.call_soon(self._flush)
        else:
            self._kept = None
            self._transport.write(kept + data)

    def close(self) -> None:
        """Close when all is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            self._transport.write(kept)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own."""
        return getattr(self._transport, name)
