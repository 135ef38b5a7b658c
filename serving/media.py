"""GET /media/…: creatives from a folder, cached for ever since a creative's name is the hash of its spec."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from serving.http import NO_STORE, Request, RequestError, Response

_TYPES = {
    ".jpg": b"image/jpeg",
    ".jpeg": b"image/jpeg",
    ".png": b"image/png",
    ".webp": b"image/webp",
    ".avif": b"image/avif",
}
# The object store may hold more than pictures (manifests, the archive of events): none of that is served.
_SERVED = "creatives"
_FOREVER = (b"cache-control", b"public, max-age=31536000, immutable")
_ANYWHERE = (b"cross-origin-resource-policy", b"cross-origin")


@dataclass(frozen=True, slots=True)
class MediaRoute:
    """Serves picture files of ``root``/creatives; without a root, nothing."""

    root: Path | None

    async def get(self, request: Request) -> Response:
        """Answer a picture.

        Raises:
            RequestError: 404 for anything that is not a picture under creatives/.
        """
        content_type = _TYPES.get(Path(request.tail).suffix)
        path = self._inside(request.tail)
        if content_type is None or path is None:
            raise _missing(request.tail)
        tag = f'"{path.stem}"'.encode()
        headers = (_FOREVER, _ANYWHERE, (b"etag", tag))
        if any(name == b"if-none-match" and value == tag for name, value in request.headers):
            return Response(304, headers=headers)
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise _missing(request.tail) from None
        return Response(200, data, content_type, headers)

    def _inside(self, tail: str) -> Path | None:
        if self.root is None or "\0" in tail:
            return None
        folder = (self.root / _SERVED).resolve()
        path = (self.root / tail).resolve()
        return path if path.is_relative_to(folder) else None


def _missing(tail: str) -> RequestError:
    return RequestError(404, "no_such_picture", f"there is no picture {tail[:200]!r}", (NO_STORE,))
