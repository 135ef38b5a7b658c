"""The part of Google's storage JSON API that the object store uses, on loopback."""

import base64
import email
import email.policy
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

from tests.loopback import LoopbackServer, Quiet

PAGE = 3


class FakeBucketServer(LoopbackServer):
    """Buckets in memory; lists come in pages of three.

    ``fail_next`` answers that many requests with 503, ``go_away`` all of them for some time; ``refused`` counts them.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.objects: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.lock = threading.Lock()
        self.fail_next = self.refused = 0
        self._away: tuple[int, float] | None = None
        self._back_s = 0.0

    def clear(self) -> None:
        with self.lock:
            self.objects.clear()
            self.fail_next = self.refused = 0
            self._away, self._back_s = None, 0.0

    def go_away(self, seconds: float, *, after: int = 0) -> None:
        """Answer 503 to every request for so long, once ``after`` more were answered."""
        with self.lock:
            self._away = (after, seconds)

    def come_back(self) -> None:
        """Answer again."""
        with self.lock:
            self._away, self._back_s = None, 0.0

    def fails(self) -> bool:
        """Whether a request that comes now is refused."""
        with self.lock:
            if self._away is not None:
                left, seconds = self._away
                self._away = (left - 1, seconds) if left else None
                self._back_s = self._back_s if left else time.monotonic() + seconds
            refused = self.fail_next > 0 or time.monotonic() < self._back_s
            self.fail_next -= self.fail_next > 0
            self.refused += refused
            return refused


class _Handler(Quiet, BaseHTTPRequestHandler):
    state: FakeBucketServer

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        bucket = parts.path.split("/")[5]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._fails():
            return
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        described, content = message.iter_parts()
        name = json.loads(_bytes(described))["name"]
        data = _bytes(content)
        with self.state.lock:
            key = (bucket, name)
            if query.get("ifGenerationMatch") == ["0"] and key in self.state.objects:
                self._answer(412, {"error": {"code": 412, "message": "conditionNotMet"}})
                return
            self.state.objects[key] = (data, content.get_content_type())
        self._answer(200, _resource(bucket, name, data))

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if self._fails():
            return
        steps = parts.path.strip("/").split("/")
        media = steps[0] == "download"
        bucket, rest = (steps[4], steps[6:]) if media else (steps[3], steps[5:])
        if not rest:
            self._list(bucket, query.get("prefix", [""])[0], query.get("pageToken", [""])[0])
            return
        name = unquote("/".join(rest))
        found = self.state.objects.get((bucket, name))
        if found is None:
            self._answer(404, {"error": {"code": 404, "message": "No such object"}})
        elif media or query.get("alt") == ["media"]:
            digest = base64.b64encode(hashlib.md5(found[0], usedforsecurity=False).digest()).decode()
            self._send(200, found[0], {"Content-Type": found[1], "X-Goog-Hash": f"md5={digest}"})
        else:
            self._answer(200, _resource(bucket, name, found[0]))

    def do_DELETE(self) -> None:
        if self._fails():
            return
        steps = urlsplit(self.path).path.strip("/").split("/")
        with self.state.lock:
            found = self.state.objects.pop((steps[3], unquote("/".join(steps[5:]))), None)
        if found is None:
            self._answer(404, {"error": {"code": 404, "message": "No such object"}})
        else:
            self._send(204, b"", {})

    def _list(self, bucket: str, prefix: str, token: str) -> None:
        names = sorted(name for where, name in self.state.objects if where == bucket and name.startswith(prefix))
        names = [name for name in names if name > token]
        answer: dict[str, object] = {"items": [{"name": name} for name in names[:PAGE]]}
        if len(names) > PAGE:
            answer["nextPageToken"] = names[PAGE - 1]
        self._answer(200, answer)

    def _fails(self) -> bool:
        if not self.state.fails():
            return False
        self._answer(503, {"error": {"code": 503, "message": "try later"}})
        return True

    def _answer(self, status: int, body: dict[str, object]) -> None:
        self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _bytes(part: email.message.Message) -> bytes:
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return data


def _resource(bucket: str, name: str, data: bytes) -> dict[str, object]:
    return {"kind": "storage#object", "bucket": bucket, "name": name, "size": str(len(data)), "generation": "1"}
