"""GET /openapi.json: the routes that others may use, described from the very types and settings that serve them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from serving.bodies import (
    TOKEN_PATTERN,
    AliveOut,
    DecideIn,
    DecideOut,
    ErrorOut,
    EventsIn,
    EventsOut,
    EventsRefusedOut,
    ReadyOut,
)
from serving.config import ServerConfig
from serving.http import JSON_TYPE, Headers, Request, Response, Route
from serving.tokens import MAX_TOKEN_CHARS

# Of the paths under /v1/: it rises with every change that a caller can see.
API_VERSION = "1.0"

_Json = dict[str, Any]
_REFERENCE = "#/components/schemas/{name}"
_BODIES = (DecideIn, EventsIn)
_ANSWERS = (DecideOut, EventsOut, EventsRefusedOut, ErrorOut, AliveOut, ReadyOut)
_CACHING: Headers = ((b"cache-control", b"public, max-age=300"), (b"access-control-allow-origin", b"*"))
_READING = ("empty_body", "not_json", "wrong_type", "wrong_count")
_RETRY = {"Retry-After": ("seconds to wait before trying again", {"type": "integer", "minimum": 1})}
_NO_STORE = {"Cache-Control": ("no-store: never kept", {"type": "string"})}
_TAG = {
    "ETag": ("compare with If-None-Match", {"type": "string"}),
    "Cache-Control": ("how long it may be kept", {"type": "string"}),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One status: what it means, what it carries.

    ``reasons`` are the words that an error's ``error`` may be, beside those that ``schema`` (a struct) allows.
    """

    text: str
    schema: type[msgspec.Struct] | None = None
    reasons: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    headers: Mapping[str, tuple[str, _Json]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """What is said of a route; ``tail`` is the pattern of what stands behind its path."""

    summary: str
    answers: Mapping[int, Answer]
    text: str = ""
    body: type[msgspec.Struct] | None = None
    example: object = None
    tail: str = ""
    parameters: Mapping[str, tuple[str, _Json]] = field(default_factory=dict)


def _refused(*reasons: str) -> Answer:
    return Answer("refused: " + ", ".join(reasons), ErrorOut, reasons)


_BODY_ANSWERS = {408: _refused("slow_body"), 413: _refused("body_too_large")}
_TOKEN = {
    "token": (
        "what the server sealed: the end of impression_url or click_url",
        {"type": "string", "pattern": TOKEN_PATTERN, "maxLength": MAX_TOKEN_CHARS},
    )
}
_PART = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 128}

OPERATIONS: Mapping[str, Operation] = {
    "decide": Operation(
        "Choose the pictures to show",
        {
            200: Answer("one decision an item, in their order", DecideOut, headers=_NO_STORE),
            400: _refused(*_READING, "invalid_id", "invalid_url", "too_long"),
            404: _refused("unknown_item", "unknown_placement"),
            **_BODY_ANSWERS,
        },
        text="A well-formed request is answered whatever is missing behind the server; flags say what was.",
        body=DecideIn,
        example={"user": "u-17", "placement": "story", "item": {"id": "sofa-1"}},
    ),
    "events": Operation(
        "Tell what happened, a batch at a time",
        {
            202: Answer("judged one by one; the event log has those accepted", EventsOut, headers=_NO_STORE),
            400: Answer(
                f"nothing was taken: {', '.join(_READING)}, or no event of the batch can be (with events)",
                EventsRefusedOut,
                _READING,
            ),
            **_BODY_ANSWERS,
            503: Answer(
                "the log did not confirm: send the whole batch again", ErrorOut, ("log_unavailable",), headers=_RETRY
            ),
        },
        text="The body is read as JSON whatever its Content-Type says, so that navigator.sendBeacon may send it.",
        body=EventsIn,
    ),
    "impression": Operation(
        "Count an impression, answer a transparent pixel",
        {200: Answer("43 bytes", media=("image/gif",), headers=_NO_STORE), 400: _refused("bad_token")},
        tail="{token}",
        parameters=_TOKEN,
    ),
    "click": Operation(
        "Count a click and lead on",
        {
            204: Answer("the decision leads nowhere", headers=_NO_STORE),
            302: Answer(
                "where the decision said",
                headers={"Location": ("sealed in the token", {"type": "string", "format": "uri"}), **_NO_STORE},
            ),
            400: _refused("bad_token"),
        },
        tail="{token}",
        parameters=_TOKEN,
    ),
    "media": Operation(
        "A creative, where pictures are served from a folder",
        {
            200: Answer("the picture, kept for ever", media=("image/jpeg", "image/png", "image/webp"), headers=_TAG),
            304: Answer("not changed", headers=_TAG),
            404: _refused("no_such_picture"),
        },
        tail="creatives/{folder}/{name}.jpg",
        parameters={"folder": ("first letters of the name", _PART), "name": ("id of the creative", _PART)},
    ),
    "healthz": Operation("Whether the process answers", {200: Answer("it does", AliveOut)}),
    "readyz": Operation(
        "Whether to send requests here",
        {200: Answer("yes", ReadyOut), 503: Answer("no, for the reasons given", ReadyOut)},
    ),
    "metrics": Operation(
        "Counters and histograms", {200: Answer("Prometheus text", media=("text/plain",), headers=_NO_STORE)}
    ),
    "openapi": Operation(
        "This document",
        {
            200: Answer("OpenAPI 3.1", media=("application/json",), headers=_TAG),
            304: Answer("not changed", headers=_TAG),
        },
    ),
}


def openapi_route(config: ServerConfig, routes: Sequence[Route]) -> Route:
    """The route of the document that describes ``routes`` and itself; the studio's are left out."""

    async def answer(request: Request) -> Response:
        if any(name == b"if-none-match" and value == tag for name, value in request.headers):
            return Response(304, headers=headers)
        return Response(200, body, JSON_TYPE, headers)

    route = Route("GET", "/openapi.json", "openapi", answer)
    body = msgspec.json.encode(document(config, [*routes, route]))
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
    headers: Headers = (*_CACHING, (b"etag", tag))
    return route


def document(config: ServerConfig, routes: Iterable[Route]) -> _Json:
    """OpenAPI 3.1 document of the routes that have an entry in ``OPERATIONS``."""
    paths: dict[str, _Json] = {}
    for route in routes:
        operation = OPERATIONS.get(route.name)
        if operation is not None:
            path = paths.setdefault(route.path + operation.tail, {})
            path[route.method.lower()] = _operation(route.name, operation)
            if route.method == "GET" and route.safe:
                path["head"] = _operation(f"{route.name}_head", operation, bodies=False)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Backdrop",
            "version": API_VERSION,
            "summary": "Which picture to show with an item, and what became of it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": config.base_url}],
        "paths": paths,
        "components": {"schemas": _schemas(config)},
    }


def _operation(operation_id: str, operation: Operation, *, bodies: bool = True) -> _Json:
    said: _Json = {
        "operationId": operation_id,
        "summary": operation.summary,
        "responses": {str(status): _answer(answer, bodies) for status, answer in operation.answers.items()},
    }
    if operation.text:
        said["description"] = operation.text
    if operation.parameters:
        said["parameters"] = [
            {"name": name, "in": "path", "required": True, "description": text, "schema": schema}
            for name, (text, schema) in operation.parameters.items()
        ]
    if operation.body is not None:
        content: _Json = {"schema": _reference(operation.body)}
        if operation.example is not None:
            content["example"] = operation.example
        said["requestBody"] = {"required": True, "content": {"application/json": content}}
    return said


def _answer(answer: Answer, bodies: bool) -> _Json:
    said: _Json = {"description": answer.text}
    if answer.headers:
        said["headers"] = {
            name: {"description": text, "required": True, "schema": schema}
            for name, (text, schema) in answer.headers.items()
        }
    if bodies and answer.schema is not None:
        said["content"] = {"application/json": {"schema": _body_of(answer.schema, answer.reasons)}}
    if bodies and answer.media:
        said["content"] = {media: {} for media in answer.media}
    return said


def _body_of(schema: type[msgspec.Struct], reasons: tuple[str, ...]) -> _Json:
    """Reference to a body; an error is of ``schema`` or, for one of ``reasons``, a plain ``ErrorOut``."""
    if not reasons:
        return _reference(schema)
    plain: _Json = {**_reference(ErrorOut), "properties": {"error": {"enum": list(reasons)}}}
    return plain if schema is ErrorOut else {"anyOf": [plain, _reference(schema)]}


def _reference(schema: type[msgspec.Struct]) -> _Json:
    return {"$ref": _REFERENCE.format(name=schema.__name__)}


def _schemas(config: ServerConfig) -> _Json:
    """Schemas of all bodies, with the limits that are settings of this server."""
    _, schemas = msgspec.json.schema_components((*_BODIES, *_ANSWERS), ref_template=_REFERENCE)
    items = schemas["DecideIn"]["properties"]["items"]["anyOf"]
    next(each for each in items if each["type"] == "array").update({"minItems": 1, "maxItems": config.max_items})
    schemas["EventsIn"]["properties"]["events"].update({"minItems": 1, "maxItems": config.max_events})
    # One of the two, and the other not at all: no type says this.
    schemas["DecideIn"]["oneOf"] = [
        {"required": [name], "properties": {name: {"type": kind}, other: {"type": "null"}}}
        for name, kind, other in (("item", "object", "items"), ("items", "array", "item"))
    ]
    return schemas
