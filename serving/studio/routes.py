"""/studio: the page, its script and style, and the data it asks for."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from serving.http import JSON_TYPE, NO_STORE, Handler, Headers, Request, RequestError, Response, Route
from serving.studio.feed import Studio
from serving.studio.snapshot import Wanted

MAX_SLOTS = 60

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/studio": ("studio.html", b"text/html; charset=utf-8"),
    "/studio/studio.js": ("studio.js", b"text/javascript; charset=utf-8"),
    "/studio/chart.js": ("chart.js", b"text/javascript; charset=utf-8"),
    "/studio/studio.css": ("studio.css", b"text/css; charset=utf-8"),
}
_PAGE_HEADERS: Headers = (
    (b"cache-control", b"no-cache"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self' http: https: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
)
_FIELDS = 10
_LIMIT_DIGITS = 3


def studio_routes(studio: Studio | None) -> list[Route]:
    """Routes of the page; without a studio they say how to switch it on."""
    paths = [*_FILES, "/studio/data.json"]
    if studio is None:
        return [Route("GET", path, "studio", _off) for path in paths]
    return [
        *(Route("GET", path, "studio", _file(name, kind)) for path, (name, kind) in _FILES.items()),
        Route("GET", "/studio/data.json", "studio_data", _data(studio)),
    ]


async def _off(_: Request) -> Response:
    raise RequestError(404, "studio_off", "this server has no studio: start one with `backdrop serve --studio`")


def _file(name: str, content_type: bytes) -> Handler:
    response = Response(200, (_STATIC / name).read_bytes(), content_type, _PAGE_HEADERS)

    async def answer(_: Request) -> Response:
        return response

    return answer


def _data(studio: Studio) -> Handler:
    async def answer(request: Request) -> Response:
        body = await asyncio.to_thread(studio.render, _wanted(_query(request.query)))
        return Response(200, body, JSON_TYPE, (NO_STORE,))

    return answer


def _query(query: bytes) -> Mapping[str, str]:
    try:
        return dict(parse_qsl(query.decode("ascii"), max_num_fields=_FIELDS))
    except ValueError:
        raise RequestError(400, "bad_query", "the query cannot be read: see docs/serving.md") from None


def _wanted(query: Mapping[str, str]) -> Wanted:
    limit = query.get("limit", "12")
    # Judged by its length first: a number of thousands of digits cannot even be read.
    if not (limit.isascii() and limit.isdigit() and len(limit) <= _LIMIT_DIGITS) or not 0 < int(limit) <= MAX_SLOTS:
        raise RequestError(400, "bad_query", f"limit = {limit[:20]!r}: use a number from 1 to {MAX_SLOTS}")
    return Wanted(query.get("category", ""), query.get("placement", ""), query.get("text", ""), int(limit))
