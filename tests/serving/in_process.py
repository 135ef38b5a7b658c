"""The server's application in this process, without a socket: fast enough for thousands of requests."""

import asyncio
import json
import threading
from collections.abc import MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from serving import ServerConfig, create_app
from tests.serving.world import PARTITIONS, PLAN, SCHEMA, Reply

Message = MutableMapping[str, Any]


class InProcess:
    """Runs the application in a thread of its own; ``ask`` may be called from any other."""

    def __init__(self, folder: Path, redis_url: str, **changes: Any) -> None:
        (folder / "plan.json").write_bytes(PLAN.to_json())
        (folder / "schema.json").write_bytes(SCHEMA.to_json())
        paths = {"plan_path": folder / "plan.json", "schema_path": folder / "schema.json"}
        settings: dict[str, Any] = {
            "redis_url": redis_url,
            **paths,
            "keyring_path": folder / "keys.json",
            "partitions": PARTITIONS,
            # Tests run on busy machines.
            "read_deadline_ms": 2_000,
            "append_timeout_ms": 20_000,
            "allowed_hosts": ("ads.example",),
        }
        self.config = ServerConfig(**(settings | changes))
        self._app = create_app(self.config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server")
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()

    def __enter__(self) -> Self:
        self._thread.start()
        self._life = asyncio.run_coroutine_threadsafe(
            self._app({"type": "lifespan"}, self._to_app.get, self._from_app.put), self._loop
        )
        assert self._tell("lifespan.startup") == {"type": "lifespan.startup.complete"}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tell("lifespan.shutdown") == {"type": "lifespan.shutdown.complete"}
        self._life.result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    def post(self, path: str, value: object) -> Reply:
        """POST JSON."""
        return self.ask("POST", path, json.dumps(value).encode())

    def ask(self, method: str, path: str, body: bytes = b"") -> Reply:
        """Send one request."""
        return asyncio.run_coroutine_threadsafe(self._ask(method, path, body), self._loop).result(60)

    async def _ask(self, method: str, path: str, body: bytes) -> Reply:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
        await self._app(scope, receive, send)
        start, end = sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], headers, end["body"])

    def _tell(self, what: str) -> Message:
        asyncio.run_coroutine_threadsafe(self._to_app.put({"type": what}), self._loop).result(20)
        return asyncio.run_coroutine_threadsafe(self._from_app.get(), self._loop).result(60)
