"""Photos over http and https, from servers that may be slow, broken, or not what they seem."""

import ipaddress
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urljoin, urlsplit

import urllib3

from generation.photo import MAX_BYTES, PhotoError

NO_IMAGE = "no_image"
BAD_IMAGE = "bad_image"
UNAVAILABLE = "image_unavailable"
_CHUNK = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_OK = 200
_TEXTS = ("text/", "application/json", "application/xhtml", "application/xml", "image/svg")
_PORTS = {"http": 80, "https": 443}
_HEADERS = {"User-Agent": "backdrop", "Accept": "image/*", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one photo's fetch, in bytes, pieces and seconds.

    ``deadline_s`` is for one try as a whole, ``silence_s`` for the server to say anything; ``pause_s`` doubles from
    try to try, a server's ``Retry-After`` counts up to ``longest_pause_s``. ``per_host`` connections at once go to one
    host. Addresses that are not public are refused, because a catalogue may come from strangers, unless the host is in
    ``private_hosts``.
    """

    max_bytes: int = MAX_BYTES
    tries: int = 4
    redirects: int = 5
    silence_s: float = 15.0
    deadline_s: float = 60.0
    pause_s: float = 0.5
    longest_pause_s: float = 30.0
    per_host: int = 4
    private_hosts: tuple[str, ...] = ()


class _TryAgainError(Exception):
    """A try failed in a way that another may not; ``pause_s`` is what the server asked for."""

    def __init__(self, message: str, pause_s: float = 0.0) -> None:
        super().__init__(message)
        self.pause_s = pause_s


@dataclass(slots=True)
class PhotoFetcher:
    """Fetches photos; connections are kept and shared by threads."""

    limits: FetchLimits = field(default_factory=FetchLimits)
    sleep: Callable[[float], None] = time.sleep
    _pools: urllib3.PoolManager = field(init=False)

    def __post_init__(self) -> None:
        """Open nothing yet."""
        self._pools = urllib3.PoolManager(maxsize=self.limits.per_host, block=True)

    def fetch(self, url: str) -> bytes:
        """The bytes at an absolute http or https URL; redirects are followed, passing failures tried again.

        Raises:
            PhotoError: ``no_image`` (the server has none, or the URL cannot be asked), ``bad_image`` (too large, or
                a page or drawing in place of a photo), ``image_unavailable`` (no good answer in all tries).
        """
        failure = ""
        for number in range(self.limits.tries):
            try:
                return self._follow(url)
            except _TryAgainError as error:
                failure = str(error)
                if number + 1 < self.limits.tries:
                    pause = max(self.limits.pause_s * 2**number, error.pause_s)
                    self.sleep(min(pause, self.limits.longest_pause_s))
        message = f"image {url!r}: {failure}, {self.limits.tries} times: run again when its server answers"
        raise PhotoError(message, UNAVAILABLE)

    def _follow(self, url: str) -> bytes:
        at, until = url, time.monotonic() + self.limits.deadline_s
        for _ in range(self.limits.redirects + 1):
            parts = _checked(url, at)
            with self._answer(at, parts) as answer:
                if answer.status not in _REDIRECTS:
                    return self._body(url, answer, until)
                to = answer.headers.get("Location")
            if not to:
                message = f"image {url!r}: status {answer.status} without a Location"
                raise PhotoError(message, NO_IMAGE)
            at = urljoin(at, to)
        message = f"image {url!r}: redirected more than {self.limits.redirects} times, last to {at[:200]!r}"
        raise PhotoError(message, NO_IMAGE)

    @contextmanager
    def _answer(self, url: str, parts: SplitResult) -> Iterator[urllib3.BaseHTTPResponse]:
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        address = self._address(url, host, port)
        # The very address that was checked: another look-up of the name could give another one.
        pool = self._pools.connection_from_host(
            address, port, parts.scheme, {"server_hostname": host, "assert_hostname": host}
        )
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        waits = urllib3.Timeout(connect=self.limits.silence_s, read=self.limits.silence_s)
        try:
            answer = pool.urlopen(
                "GET",
                target,
                headers={**_HEADERS, "Host": parts.netloc.rpartition("@")[2]},
                retries=False,
                redirect=False,
                timeout=waits,
                preload_content=False,
                decode_content=False,
            )
            try:
                yield answer
            finally:
                # A body that was not read to its end would be the next answer's beginning.
                answer.close()
                answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            message = f"no whole answer ({error})"
            raise _TryAgainError(message) from error

    def _address(self, url: str, host: str, port: int) -> str:
        found = _addresses(host, port)
        private = [address for address in found if not ipaddress.ip_address(address).is_global]
        if private and host not in self.limits.private_hosts:
            message = f"image {url!r}: host {host!r} is at {private[0]}, not a public address: see private_hosts"
            raise PhotoError(message, NO_IMAGE)
        return found[0]

    def _body(self, url: str, answer: urllib3.BaseHTTPResponse, until: float) -> bytes:
        if answer.status in _TEMPORARY:
            message = f"status {answer.status}"
            raise _TryAgainError(message, _seconds(answer.headers.get("Retry-After")))
        if answer.status != _OK:
            message = f"image {url!r}: status {answer.status}"
            raise PhotoError(message, NO_IMAGE)
        kind = answer.headers.get("Content-Type", "").lower()
        packed = answer.headers.get("Content-Encoding", "identity").lower()
        if kind.startswith(_TEXTS) or packed != "identity":
            message = f"image {url!r}: its server sends {kind!r} ({packed}), not a photo"
            raise PhotoError(message, BAD_IMAGE)
        parts, size = [], 0
        # What is there, not whole chunks: a server that drips must not hold the deadline up.
        while part := answer.read1(_CHUNK):
            size += len(part)
            if size > self.limits.max_bytes:
                message = f"image {url!r} has more than {self.limits.max_bytes} bytes, the limit"
                raise PhotoError(message, BAD_IMAGE)
            if time.monotonic() > until:
                message = f"not whole after {self.limits.deadline_s:g} s"
                raise _TryAgainError(message)
            parts.append(part)
        return b"".join(parts)


def _checked(url: str, at: str) -> SplitResult:
    """The parts of ``at``, to which ``url`` led."""
    rule = f"image {url[:200]!r}: {at[:200]!r} is no http or https URL in plain ASCII"
    try:
        parts = urlsplit(at)
        good = parts.scheme in _PORTS and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError as error:
        raise PhotoError(rule, NO_IMAGE) from error
    if not good or not at.isascii() or any(character <= " " for character in at):
        raise PhotoError(rule, NO_IMAGE)
    return parts


def _addresses(host: str, port: int) -> list[str]:
    """Addresses of a host, those of IPv4 first."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"host {host!r} has no address ({error})"
        raise _TryAgainError(message) from error
    return [str(entry[4][0]) for entry in sorted(entries, key=lambda entry: entry[0] != socket.AF_INET)]


def _seconds(retry_after: str | None) -> float:
    """What a server asks to wait; a date, which is rare, counts as nothing said."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else 0.0
