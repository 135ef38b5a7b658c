"""GET /openapi.json: the routes that others may use, described from the very types and settings that serve them."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from serving.bodies import ErrorOut
from serving.config import ServerConfig
from serving.http import JSON_TYPE, Headers, Request, Response, Route
from serving.operations import OPERATIONS, Answer, Operation

# Of the paths under /v1/: it rises with every change that a caller can see.
API_VERSION = "1.0"

_Json = dict[str, Any]
_REFERENCE = "#/components/schemas/{name}"
_CACHING: Headers = ((b"cache-control", b"public, max-age=300"), (b"access-control-allow-origin", b"*"))


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
        content: _Json = {"schema": _body_of(answer.schema, answer.reasons)}
        if answer.example is not None:
            content["example"] = msgspec.to_builtins(answer.example)
        said["content"] = {"application/json": content}
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
    answers = [answer.schema for operation in OPERATIONS.values() for answer in operation.answers.values()]
    bodies = [*answers, *(operation.body for operation in OPERATIONS.values())]
    _, schemas = msgspec.json.schema_components([body for body in bodies if body is not None], ref_template=_REFERENCE)
    items = schemas["DecideIn"]["properties"]["items"]["anyOf"]
    next(each for each in items if each["type"] == "array").update({"minItems": 1, "maxItems": config.max_items})
    schemas["EventsIn"]["properties"]["events"].update({"minItems": 1, "maxItems": config.max_events})
    # One of the two, and the other not at all: no type says this.
    schemas["DecideIn"]["oneOf"] = [
        {"required": [name], "properties": {name: {"type": kind}, other: {"type": "null"}}}
        for name, kind, other in (("item", "object", "items"), ("items", "array", "item"))
    ]
    return schemas
