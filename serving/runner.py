"""Runs the server: one process, until it is told to end; alone, or as one of several on a port."""

import gc
import signal
import socket
import threading
import time
from types import FrameType

import uvicorn

from contracts import SetupError
from serving.app import App, create_app
from serving.config import ServerConfig
from serving.gather import ReaderFactory
from serving.protocol import bounded_protocol, connection_limits
from serving.stack import uvicorn_config
from stores import OnlineReader

_BACKLOG = 2048
_COLLECT_EVERY = 50_000


def serve(config: ServerConfig, make_reader: ReaderFactory = OnlineReader) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and write the event buffer out.

    Raises:
        SetupError: if the port is taken.
        SettingsError: if a file that the server needs cannot be used.
        StoreError: never for Redis being away: the server starts, answers, and waits for it.
    """
    app = create_app(config, make_reader=make_reader)
    run_app(config, app, listen(config.host, config.port))


def run_app(config: ServerConfig, app: App, listener: socket.socket) -> None:
    """Serve ``app`` on a listening socket until SIGTERM or SIGINT.

    Raises:
        SetupError: if the server does not start.
    """
    # What is loaded now stays: the collector need not look at it again while requests wait.
    gc.collect()
    gc.freeze()
    # Decisions make no cycles: looking for them after every 700 new objects is a twentieth of their time.
    gc.set_threshold(_COLLECT_EVERY, 20, 50)
    server = _Server(config, app)
    if threading.current_thread() is threading.main_thread():
        # A signal may come before uvicorn listens for it, and uvicorn raises it again when it is done.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: setattr(server, "should_exit", True))
    server.run(sockets=[listener])
    if not server.started:
        message = "the server did not start: its log says why"
        raise SetupError(message)


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        SetupError: if the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        message = f"cannot listen on {host}:{port} ({error.strerror}): end what uses it or choose another --port"
        raise SetupError(message) from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


class _Server(uvicorn.Server):
    """Uvicorn, which at the first signal says for a while that it will end before it does."""

    def __init__(self, config: ServerConfig, app: App) -> None:
        """Serve ``app`` as ``config`` says."""
        protocol = bounded_protocol(connection_limits(config), app.metrics)
        super().__init__(uvicorn_config(app, protocol, drain_ms=config.drain_ms))
        self._app = app
        self._notice_s = config.drain_notice_ms / 1000
        self._end_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second signal ends the notice."""
        self._app.drain()
        if self._notice_s and self._end_at is None:
            self._captured_signals.append(sig)
            self._end_at = time.monotonic() + self._notice_s
            return
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second whether it is time to end."""
        if self._end_at is not None and time.monotonic() >= self._end_at:
            self.should_exit = True
        return await super().on_tick(counter)
