"""One of several server processes on a port: what it is given, what it tells the process that started it."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from serving.app import create_app
from serving.config import ServerConfig
from serving.gather import ReaderFactory
from serving.runner import run_app
from serving.wiring import Report
from stores import OnlineReader

# The kernel writes so many bytes to a pipe whole or not at all.
_MAX_REPORT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's number and inherited file descriptors; whether it comes ``again``, and after one that hung."""

    slot: int
    listener: int
    reports: int
    again: bool
    hung: bool = False

    def words(self) -> list[str]:
        """As arguments of a program."""
        return [str(self.slot), str(self.listener), str(self.reports), str(int(self.again)), str(int(self.hung))]

    @classmethod
    def of(cls, words: Sequence[str]) -> "Place":
        """Read what ``words`` wrote."""
        slot, listener, reports, again, hung = (int(word) for word in words)
        return cls(slot, listener, reports, bool(again), bool(hung))


def work(config: ServerConfig, place: Place, make_reader: ReaderFactory = OnlineReader) -> None:
    """Serve on the inherited socket until SIGTERM; metrics are shared with the other workers.

    Raises:
        SettingsError: if a file that the server needs cannot be used.
        SetupError: if the server does not start.
    """
    app = create_app(config, make_reader=make_reader, report=_reporter(place.reports), slot=place.slot)
    if place.again:
        app.metrics.worker_restarts.inc()
    if place.hung:
        app.metrics.hung_workers.inc()
    listener = socket.socket(fileno=place.listener)
    listener.setblocking(False)
    run_app(config, app, listener)


def _reporter(pipe: int) -> Report:
    os.set_blocking(pipe, False)

    def report(state: Mapping[str, object]) -> None:
        line = msgspec.json.encode(state) + b"\n"
        if len(line) <= _MAX_REPORT_BYTES:
            try:
                os.write(pipe, line)
            except OSError:
                # The other side is slow, or gone: then we are told to end, too.
                return

    return report
