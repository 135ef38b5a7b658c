"""Runs the server: one process, one port, until it is told to end."""

import gc
import signal
import socket
import threading

import uvicorn

from contracts import SetupError
from serving.app import create_app
from serving.config import ServerConfig
from serving.gather import ReaderFactory
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
    listener = _listen(config.host, config.port)
    # What is loaded now stays: the collector need not look at it again while requests wait.
    gc.collect()
    gc.freeze()
    # Decisions make no cycles: looking for them after every 700 new objects is a twentieth of their time.
    gc.set_threshold(_COLLECT_EVERY, 20, 50)
    server = uvicorn.Server(uvicorn_config(app, drain_ms=config.drain_ms))
    if threading.current_thread() is threading.main_thread():
        # A signal may come before uvicorn listens for it, and uvicorn raises it again when it is done.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: setattr(server, "should_exit", True))
    server.run(sockets=[listener])
    if not server.started:
        message = "the server did not start: its log says why"
        raise SetupError(message)


def _listen(host: str, port: int) -> socket.socket:
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
