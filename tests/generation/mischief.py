"""An HTTP server on loopback that misbehaves in the ways that photo servers do."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

PHOTO = b"\xff\xd8\xff" + bytes(range(256)) * 40


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what is tested."""


class MischiefServer:
    """Answers by path, with one of ``files`` or a misdeed.

    ``asked`` counts requests a path, ``at_once`` is the most that were under way together.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.at_once = 0
        self.now = 0
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: MischiefServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        name = self.path.lstrip("/").split("?")[0]
        with self.state.lock:
            self.state.asked[name] += 1
            self.state.now += 1
            self.state.at_once = max(self.state.at_once, self.state.now)
            number = self.state.asked[name]
        try:
            self.answer(name, number)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.state.lock:
                self.state.now -= 1

    def answer(self, name: str, number: int) -> None:
        """Follow the script of the path; ``number`` says how often it was asked for."""
        if name.startswith("to-"):
            self.reply(302, b"", {"Location": name.removeprefix("to-").replace("_", "/")})
        elif name in self.state.files:
            self.reply(200, self.state.files[name])
        elif name in _SCRIPTS:
            _SCRIPTS[name](self, number)
        else:
            self.reply(int(name) if name.isdigit() else 404, b"")

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), "Content-Type": "image/jpeg", **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)


def _busy(handler: _Handler, _number: int) -> None:
    time.sleep(0.05)
    handler.reply(200, PHOTO)


def _late(handler: _Handler, number: int) -> None:
    handler.reply(*((503, b"", {"Retry-After": "7"}) if number < 3 else (200, PHOTO)))


def _cut(handler: _Handler, number: int, *, for_ever: bool = True) -> None:
    cut = for_ever or number == 1
    handler.reply(200, PHOTO, {"Content-Length": str(len(PHOTO) * (2 if cut else 1))})
    handler.close_connection = cut


def _endless(handler: _Handler, _number: int) -> None:
    handler.reply(200, b"", {"Content-Length": str(1 << 40)})
    while not handler.state.ending.is_set():
        handler.wfile.write(bytes(1 << 16))


def _drip(handler: _Handler, _number: int) -> None:
    handler.reply(200, b"", {"Content-Length": str(1 << 20)})
    while not handler.state.ending.wait(0.02):
        handler.wfile.write(b"x")


def _hang(handler: _Handler, _number: int) -> None:
    handler.state.ending.wait(20)
    handler.close_connection = True


def _garbage(handler: _Handler, _number: int) -> None:
    handler.wfile.write(b"\x00\x01 not http\r\n\r\n")
    handler.close_connection = True


_SCRIPTS: dict[str, Callable[[_Handler, int], None]] = {
    "photo": lambda handler, _: handler.reply(200, PHOTO),
    "busy": _busy,
    "host": lambda handler, _: handler.reply(200, handler.headers["Host"].encode()),
    "for-ever": lambda handler, number: handler.reply(302, b"", {"Location": f"/for-ever?{number}"}),
    "nowhere": lambda handler, _: handler.reply(302, b""),
    "late": _late,
    "cut": _cut,
    "half-then-whole": lambda handler, number: _cut(handler, number, for_ever=False),
    "html": lambda handler, _: handler.reply(200, b"<html>no</html>", {"Content-Type": "text/html; charset=utf-8"}),
    "gzip": lambda handler, _: handler.reply(200, PHOTO, {"Content-Encoding": "gzip"}),
    "endless": _endless,
    "drip": _drip,
    "hang": _hang,
    "garbage": _garbage,
}


def closed_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
