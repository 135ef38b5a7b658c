"""Requests and answers over raw ASGI: routing, bodies with a limit, JSON errors, safe headers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import msgspec

from contracts import InvalidInputError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]
_T = TypeVar("_T")

JSON_TYPE = b"application/json"
NO_STORE = (b"cache-control", b"no-store")

_NOSNIFF = (b"x-content-type-options", b"nosniff")
_encode_json = msgspec.json.Encoder().encode


class RequestError(InvalidInputError):
    """A request that gets a 4xx: ``reason`` is a stable word, the message says what to change."""

    def __init__(self, status: int, reason: str, detail: str, headers: Headers = ()) -> None:
        """Keep what the answer needs."""
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = headers


class ClientGoneError(InvalidInputError):
    """The client hung up before its request was read."""


class Response(NamedTuple):
    """One answer, whole."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON_TYPE
    headers: Headers = ()

    async def send(self, send: Send) -> None:
        """Write it to an ASGI connection."""
        headers = [(b"content-length", b"%d" % len(self.body)), _NOSNIFF, *self.headers]
        if self.body:
            headers.append((b"content-type", self.content_type))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Request(NamedTuple):
    """What a handler gets: ``tail`` is the path behind a route's prefix."""

    path: str
    tail: str
    query: bytes
    headers: Iterable[tuple[bytes, bytes]]
    receive: Receive


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path; a path that ends with ``/`` takes everything behind it. ``name`` labels metrics.

    HEAD is answered like GET, without the body, unless asking has an effect (``safe`` is False).
    """

    method: str
    path: str
    name: str
    handler: Handler
    safe: bool = True


class Router:
    """Finds the route of a method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Index the routes."""
        self._exact: dict[str, dict[str, Route]] = {}
        self._prefixes: dict[str, dict[str, Route]] = {}
        for route in routes:
            index = self._prefixes if route.path.endswith("/") else self._exact
            methods = index.setdefault(route.path, {})
            methods[route.method] = route
            if route.method == "GET" and route.safe:
                methods["HEAD"] = route

    def match(self, method: str, path: str) -> tuple[Route, str]:
        """Return the route and the path's tail.

        Raises:
            RequestError: 404 for a path nobody has, 405 for a method it does not take.
        """
        methods, tail = self._exact.get(path), ""
        if methods is None:
            for prefix, candidates in self._prefixes.items():
                if path.startswith(prefix):
                    methods, tail = candidates, path[len(prefix) :]
                    break
        if methods is None:
            raise RequestError(404, "not_found", f"there is nothing at {path[:200]!r}")
        route = methods.get(method)
        if route is None:
            allowed = ", ".join(sorted(methods))
            headers = ((b"allow", allowed.encode()),)
            raise RequestError(405, "wrong_method", f"{method[:20]} is not for this path: use {allowed}", headers)
        return route, tail


def json_response(status: int, value: object, headers: Headers = (NO_STORE,)) -> Response:
    """Answer with JSON."""
    return Response(status, _encode_json(value), JSON_TYPE, headers)


def error_response(status: int, reason: str, detail: str, headers: Headers = ()) -> Response:
    """Answer an error as ``{"error": reason, "detail": detail}``."""
    return json_response(status, {"error": reason, "detail": detail}, (NO_STORE, *headers))


async def read_body(request: Request, limit_bytes: int, timeout_ms: int) -> bytes:
    """Read a request's body.

    Raises:
        RequestError: 413 beyond ``limit_bytes``, 408 if it takes longer than ``timeout_ms``, 400 if empty.
        ClientGoneError: if the client hung up.
    """
    for name, value in request.headers:
        if name == b"content-length" and value.isdigit() and int(value) > limit_bytes:
            raise _too_large(limit_bytes)
    # Nearly always the body has come with the head: then there is nothing to time.
    message = _at_once(request.receive)
    if message is not None and not message.get("more_body", False):
        body = _piece(message)
    else:
        try:
            # Over the first piece, too: a client may announce a body and never send any of it.
            async with asyncio.timeout(timeout_ms / 1000):
                body = await _read_whole(request.receive, limit_bytes, message)
        except TimeoutError:
            detail = f"the body did not arrive within {timeout_ms} ms"
            raise RequestError(408, "slow_body", detail, ((b"connection", b"close"),)) from None
    if len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    if not body:
        raise RequestError(400, "empty_body", "the request has no body: send a JSON object")
    return body


def _at_once(receive: Receive) -> Message | None:
    """The next message if it is there already."""
    step = receive().__await__()
    try:
        next(step)
    except StopIteration as done:
        message: Message = done.value
        return message
    step.close()
    return None


async def _read_whole(receive: Receive, limit_bytes: int, first: Message | None) -> bytes:
    message = await receive() if first is None else first
    pieces = [_piece(message)]
    size = len(pieces[0])
    while message.get("more_body", False):
        message = await receive()
        pieces.append(_piece(message))
        size += len(pieces[-1])
        if size > limit_bytes:
            raise _too_large(limit_bytes)
    return b"".join(pieces)


def _piece(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        detail = "the client hung up"
        raise ClientGoneError(detail)
    body: bytes = message.get("body", b"")
    return body


def _too_large(limit_bytes: int) -> RequestError:
    detail = f"the body is larger than {limit_bytes} bytes: send fewer items or events at a time"
    # The connection stays for a while: one that is closed while the client still sends would lose the answer.
    return RequestError(413, "body_too_large", detail)


def decode_json(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """Decode a body into its type; unknown fields are ignored.

    Raises:
        RequestError: 400 ``not_json`` or ``wrong_type``, saying where.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(400, "wrong_type", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(400, "not_json", f"the body is not JSON: {error}") from None
