"""Where a click may lead: http(s) only, an item's own URL or a host on the allow-list; no open redirects."""

import ipaddress
import re
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import quote

MAX_URL_CHARS = 2048
MAX_PORT = 65_535
_MEMO = 4096

# Everything a URL may hold (RFC 3986), nothing else: no spaces, no control characters that could end a
# header, no backslashes (which browsers read as slashes), no user info, nothing outside ASCII. Host and port are
# taken from here and from no other parser: two that disagree are how redirects are opened.
_URL = re.compile(
    r"https?://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?\.?|\[(?P<v6>[0-9A-Fa-f:.]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?:[/?#][A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*)?",
    re.ASCII,
)

_RESERVED = "%/:?#[]@!$&'()*+,;=~"


def is_web_url(url: str) -> bool:
    """Tell whether ``url`` is an absolute http(s) URL of at most 2048 plain characters, without user info."""
    return _host_of(url) is not None


def is_picture_url(url: str) -> bool:
    """Tell whether ``url`` may be answered as a picture: a web URL, or a path on the page's own host."""
    own_path = url.startswith("/") and not url.startswith(("//", "/\\"))
    return is_web_url(f"http://page{url}" if own_path else url)


@lru_cache(maxsize=_MEMO)
def _own_url(own: str) -> str:
    plain = own if own.isascii() else quote(own, safe=_RESERVED)
    return plain if is_web_url(plain) else ""


def landing_url(requested: str | None, own: str, allowed_hosts: Collection[str]) -> tuple[str, bool]:
    """Choose where a click leads, and tell whether the requested URL was refused.

    ``own`` is the URL in the item's features ("" if none). A requested URL is taken if it equals ``own`` or its
    host is allowed; else ``own`` is, or "" (nowhere) if that is no web URL either. Letters outside ASCII in the
    path of ``own`` are percent-encoded, as browsers do.
    """
    own_url = _own_url(own)
    if requested is None or requested == own_url:
        return own_url, False
    if _host_of(requested) in allowed_hosts:
        return requested, False
    return own_url, True


def _host_of(url: str) -> str | None:
    """The host of a web URL in small letters, None if ``url`` is none."""
    found = _URL.fullmatch(url) if len(url) <= MAX_URL_CHARS else None
    if found is None or (found["port"] is not None and not 0 < int(found["port"]) <= MAX_PORT):
        return None
    if found["v6"] is not None:
        try:
            ipaddress.IPv6Address(found["v6"])
        except ValueError:
            return None
    return found["host"].lower()
