"""A runner's job server as a child process of our own: its pid is known, and it dies with its parent."""

import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Protocol

from contracts import SetupError
from stores.child import choose_port, start_child

_START_TIMEOUT_S = 60.0
_POLL_S = 0.05


class Runner(Protocol):
    """How a runner's job server is started, and what its jobs are told; a plain value."""

    @property
    def name(self) -> str:
        """What errors call it."""
        ...

    def check(self) -> None:
        """Look whether all that it needs is there.

        Raises:
            SetupError: naming what is missing and how to get it.
        """
        ...

    def command(self, port: int, scratch: Path, log_level: str) -> list[str]:
        """Program and arguments that take jobs on a local port and write below ``scratch`` only."""
        ...

    def options(self, scratch: Path) -> list[str]:
        """Pipeline options of a streaming job, besides those that all runners share."""
        ...


class JobServer:
    """A runner's job server on a free local port; what it says goes to this process's standard error."""

    def __init__(self, runner: Runner, scratch: Path, *, log_level: str) -> None:
        """Set up; nothing is started yet."""
        self._runner = runner
        self._scratch = scratch
        self._log_level = log_level
        self._child: subprocess.Popen[bytes] | None = None
        self._endpoint = ""

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def options(self) -> list[str]:
        """Options of a streaming job on this server, with the job's worker in this process."""
        return [*self.batch_options, "--streaming", "--job_name=backdrop-learn"]

    @property
    def batch_options(self) -> list[str]:
        """Options of a batch job on this server, with the job's worker in this process."""
        return [
            f"--job_endpoint={self._endpoint}",
            "--environment_type=LOOPBACK",
            *self._runner.options(self._scratch),
        ]

    def start(self) -> None:
        """Start it and wait until it takes connections.

        Raises:
            SetupError: if it ends or does not answer in time.
        """
        port = choose_port()
        name = self._runner.name
        self._child = start_child(
            self._runner.command(port, self._scratch, self._log_level), on_parent_death=signal.SIGKILL
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                message = f"{name} ended at once with status {self._child.returncode}: what it wrote says why"
                raise SetupError(message)
            with closing(socket.socket()) as probe:
                probe.settimeout(_POLL_S)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    self._endpoint = f"localhost:{port}"
                    return
            time.sleep(_POLL_S)
        self.kill()
        message = f"{name} did not answer on port {port} within {_START_TIMEOUT_S:.0f} s"
        raise SetupError(message)

    def kill(self) -> None:
        """End it and with it the job, whose state is only a cache."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()
