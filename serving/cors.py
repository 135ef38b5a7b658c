"""Cross-origin requests by scripts of pages: off unless origins are named, and then for server-side events only.

Pixels, clicks and pictures need none of it: browsers load those from anywhere, as they do beacons.
"""

import re
from collections.abc import Sequence

from contracts import SettingsError
from serving.http import Headers, Request, RequestError, Response, Route

ANY_ORIGIN = "*"

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](?::[0-9]{1,5})?", re.ASCII)
_VARY = (b"vary", b"origin")
_PREFLIGHT: Headers = (
    (b"access-control-allow-headers", b"content-type"),
    # Two hours: the longest that browsers keep it.
    (b"access-control-max-age", b"7200"),
)


def cors_routes(route: Route, origins: Sequence[str]) -> list[Route]:
    """The route, open to scripts of pages of ``origins``, and its preflight; without origins, the route as it is.

    Source: Fetch standard, section 3.2 (CORS protocol). No cookie or login is ever involved, so none is allowed.

    Raises:
        SettingsError: if an origin is not written as browsers send it.
    """
    for origin in origins:
        if origin != ANY_ORIGIN and _ORIGIN.fullmatch(origin) is None:
            message = f"cors_origins: {origin!r} is not an origin: write https://shop.example, without a path, or *"
            raise SettingsError(message)
    if not origins:
        return [route]
    allowed = {origin.encode() for origin in origins}

    def headers_for(request: Request) -> Headers:
        if ANY_ORIGIN.encode() in allowed:
            return ((b"access-control-allow-origin", b"*"),)
        origin = next((value for name, value in request.headers if name == b"origin"), b"")
        return (_VARY, (b"access-control-allow-origin", origin)) if origin in allowed else (_VARY,)

    async def answer(request: Request) -> Response:
        extra = headers_for(request)
        try:
            response = await route.handler(request)
        except RequestError as error:
            raise RequestError(error.status, error.reason, error.detail, (*error.headers, *extra)) from None
        return Response(response.status, response.body, response.content_type, (*response.headers, *extra))

    async def preflight(request: Request) -> Response:
        methods = ((b"access-control-allow-methods", route.method.encode()),)
        return Response(204, headers=(*headers_for(request), *methods, *_PREFLIGHT))

    return [
        Route(route.method, route.path, route.name, answer, route.safe),
        Route("OPTIONS", route.path, f"{route.name}_preflight", preflight),
    ]
