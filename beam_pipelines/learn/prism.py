"""Prism as a child process of our own: its pid is known, and it dies with its parent."""

import os
import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path

from contracts import SetupError
from stores.child import choose_port, start_child

_START_TIMEOUT_S = 30.0
_POLL_S = 0.05


def require_prism(path: str) -> None:
    """Check that there is a program at ``path``.

    Raises:
        SetupError: if there is none.
    """
    if not Path(path).is_file() or not os.access(path, os.X_OK):
        message = f"no Prism binary at {path!r}: run make setup, or set its path"
        raise SetupError(message)


class PrismServer:
    """A Prism job server on a free local port."""

    def __init__(self, path: str, *, log_level: str) -> None:
        """Set up; nothing is started yet."""
        self._path = path
        self._log_level = log_level
        self._child: subprocess.Popen[bytes] | None = None
        self.endpoint = ""

    @property
    def pid(self) -> int:
        """Process id; 0 if it was never started."""
        return 0 if self._child is None else self._child.pid

    def start(self) -> None:
        """Start it and wait until it takes connections.

        Raises:
            SetupError: if it ends or does not answer in time.
        """
        port = choose_port()
        level = {"WARNING": "warn", "CRITICAL": "error"}.get(self._log_level.upper(), self._log_level.lower())
        self._child = start_child(
            [
                self._path,
                f"--job_port={port}",
                "--serve_http=false",
                "--log_kind=text",
                f"--log_level={level}",
            ],
            on_parent_death=signal.SIGKILL,
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                message = f"Prism ({self._path}) ended at once with status {self._child.returncode}"
                raise SetupError(message)
            with closing(socket.socket()) as probe:
                probe.settimeout(_POLL_S)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    self.endpoint = f"localhost:{port}"
                    return
            time.sleep(_POLL_S)
        self.kill()
        message = f"Prism ({self._path}) did not answer on port {port} within {_START_TIMEOUT_S:.0f} s"
        raise SetupError(message)

    def kill(self) -> None:
        """End it; its state is only a cache."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()
