"""The admin routes: models, traffic split, arms and readiness, on a port of their own behind a bearer token."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import msgspec
import structlog
import uvicorn

from contracts import BackdropError, InvalidInputError, SettingsError, StoreError, TrafficPolicy, UnavailableError
from serving.config import ServerConfig
from serving.http import (
    NO_STORE,
    ClientGoneError,
    Receive,
    Request,
    RequestError,
    Response,
    Route,
    Router,
    Scope,
    Send,
    decode_json,
    error_response,
    json_response,
    read_body,
)
from serving.metrics import METRICS_TYPE, Metrics
from serving.protocol import bounded_protocol, connection_limits
from serving.runner import listen
from serving.stack import uvicorn_config
from serving.supervisor import WorkerState

MIN_TOKEN_CHARS = 16
_BODY_BYTES = 65_536
_BODY_MS = 5_000
_STOP_S = 5.0
_DRAIN_MS = 1_000

Status = Literal["active", "paused", "retired"]

_log = structlog.get_logger("serving.admin")


class Operations(Protocol):
    """What can be done; every method blocks, and may raise ``UnavailableError``."""

    def models(self) -> Mapping[str, Any]:
        """What was learned."""
        ...

    def policy(self) -> TrafficPolicy:
        """The traffic policy in force."""
        ...

    def put_split(self, version: int, split: dict[str, float]) -> TrafficPolicy:
        """Change the split, if ``version`` is in force."""
        ...

    def set_arm(self, category: str, arm: str, status: Status, *, new: bool) -> str:
        """Give an arm a status; returns the one before."""
        ...


class SplitIn(msgspec.Struct, frozen=True):
    """Body of PUT /admin/v1/split: ``version`` is the one that was read."""

    version: int
    split: dict[str, float]


class ArmIn(msgspec.Struct, frozen=True):
    """Body of POST /admin/v1/arms."""

    category: str
    arm: str
    status: Status
    new: bool = False


_split = msgspec.json.Decoder(SplitIn)
_arm = msgspec.json.Decoder(ArmIn)


@dataclass(frozen=True, slots=True)
class AdminConfig:
    """Where the admin routes listen, and the token that opens them."""

    host: str
    port: int
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a token that could be guessed.

        Raises:
            SettingsError: saying how to make one.
        """
        if len(self.token) < MIN_TOKEN_CHARS:
            message = (
                f"the admin token has {len(self.token)} characters: use {MIN_TOKEN_CHARS} at least, "
                "such as those of `openssl rand -hex 24`"
            )
            raise SettingsError(message)


class AdminApp:
    """ASGI application of the admin routes."""

    def __init__(
        self, token: str, operations: Operations, workers: Callable[[], Sequence[WorkerState]], metrics: Metrics
    ) -> None:
        """``workers`` says how the server's processes are; ``metrics`` are of the admin port alone."""
        # Hashes have one length: comparing them tells nothing of the token's.
        self._digest = _digest(token)
        self._operations = operations
        self._workers = workers
        self._metrics = metrics
        self._router = Router(
            [
                Route("GET", "/admin/v1/models", "models", self._models),
                Route("GET", "/admin/v1/split", "split", self._get_split),
                Route("PUT", "/admin/v1/split", "split", self._put_split),
                Route("POST", "/admin/v1/arms", "arms", self._set_arm),
                Route("GET", "/admin/v1/ready", "ready", self._ready),
                Route("GET", "/admin/v1/metrics", "metrics", self._measure),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        try:
            response = await self._answer(scope, receive)
        except ClientGoneError:
            return
        self._metrics.request("admin", response.status)
        await response.send(send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        if not self._allowed(scope["headers"]):
            detail = "send the header Authorization: Bearer <the admin token>"
            return error_response(401, "unauthorized", detail, ((b"www-authenticate", b"Bearer"),))
        try:
            route, tail = self._router.match(scope["method"], scope["path"])
            return await route.handler(Request(scope["path"], tail, scope["query_string"], scope["headers"], receive))
        except ClientGoneError:
            raise
        except RequestError as error:
            return error_response(error.status, error.reason, error.detail, error.headers)
        except BackdropError as error:
            return _refusal(error)
        except Exception:
            _log.exception("admin_request_broke", path=scope["path"][:200])
            return error_response(500, "internal", "a defect of the server: its log says more")

    def _allowed(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        sent = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, token = sent.partition(b" ")
        return hmac.compare_digest(_digest(token.strip()), self._digest) and scheme.lower() == b"bearer"

    async def _models(self, request: Request) -> Response:
        return json_response(200, await asyncio.to_thread(self._operations.models))

    async def _get_split(self, request: Request) -> Response:
        return _policy_response(await asyncio.to_thread(self._operations.policy))

    async def _put_split(self, request: Request) -> Response:
        body = decode_json(_split, await read_body(request, _BODY_BYTES, _BODY_MS))
        changed = await asyncio.to_thread(self._operations.put_split, body.version, body.split)
        _log.info("split_changed", version=changed.version, split=dict(changed.split))
        return _policy_response(changed)

    async def _set_arm(self, request: Request) -> Response:
        body = decode_json(_arm, await read_body(request, _BODY_BYTES, _BODY_MS))
        before = await asyncio.to_thread(
            lambda: self._operations.set_arm(body.category, body.arm, body.status, new=body.new)
        )
        _log.info("arm_changed", category=body.category, arm=body.arm, before=before, after=body.status)
        return json_response(200, {"category": body.category, "arm": body.arm, "before": before, "after": body.status})

    async def _measure(self, request: Request) -> Response:
        return Response(200, self._metrics.render(), METRICS_TYPE, (NO_STORE,))

    async def _ready(self, request: Request) -> Response:
        now = time.monotonic()
        found = []
        for state in self._workers():
            plain = asdict(state)
            heard = plain.pop("heard")
            found.append(plain | {"heard_ms_ago": None if heard is None else round((now - heard) * 1000)})
        ready = bool(found) and all(worker["report"].get("ready", False) for worker in found)
        return json_response(200 if ready else 503, {"ready": ready, "workers": found})


@contextlib.contextmanager
def admin_server(
    config: AdminConfig,
    server_config: ServerConfig,
    operations: Operations,
    workers: Callable[[], Sequence[WorkerState]],
) -> Iterator[None]:
    """Serve the admin routes in a thread of their own while the block runs; its connections have the server's limits.

    Raises:
        SetupError: if the port is taken.
    """
    listener = listen(config.host, config.port)
    metrics = Metrics()
    app = AdminApp(config.token, operations, workers, metrics)
    protocol = bounded_protocol(connection_limits(server_config), metrics)
    server = uvicorn.Server(uvicorn_config(app, protocol, drain_ms=_DRAIN_MS, lifespan="off"))
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), name="admin", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_STOP_S)


def _refusal(error: BackdropError) -> Response:
    if isinstance(error, InvalidInputError):
        return error_response(400, "invalid_value", str(error))
    if isinstance(error, UnavailableError):
        return error_response(503, "unavailable", str(error), ((b"retry-after", b"1"),))
    if isinstance(error, StoreError):
        return error_response(409, "conflict", str(error))
    return error_response(500, "damaged", str(error))


def _policy_response(policy: TrafficPolicy) -> Response:
    return json_response(200, json.loads(policy.to_json()))


def _digest(token: str | bytes) -> bytes:
    return hashlib.sha256(token.encode() if isinstance(token, str) else token).digest()
