"""Several workers on one port: started, watched, started again when they end, and told to end (ADR 0017)."""

import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from subprocess import Popen
from typing import Any

import msgspec
import structlog

from contracts import SetupError
from serving.config import ServerConfig
from serving.metrics import FOLDER_VARIABLE, forget_worker
from serving.runner import listen
from serving.worker import Place
from stores.child import start_child

_LOOK_S = 0.05
_FIRST_DELAY_S = 0.1
_LAST_DELAY_S = 5.0
# A worker that has lived so long did not die of what it was started with.
_HEALTHY_S = 10.0
_MARGIN_S = 5.0
_PIPE_BYTES = 65_536

_log = structlog.get_logger("serving.supervisor")


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What is known of a worker: ``report`` is what its /readyz would say, as of ``heard`` (monotonic seconds)."""

    slot: int
    pid: int | None = None
    restarts: int = 0
    heard: float | None = None
    report: dict[str, Any] = field(default_factory=dict)


class _Worker:
    """One place on the port and the process in it."""

    def __init__(self, slot: int, config: ServerConfig, command: Sequence[str], listener: int, folder: str) -> None:
        self.state = WorkerState(slot)
        self._config = config
        self._command = command
        self._listener = listener
        self._folder = folder
        self._pipe: int | None = None
        self._partial = b""
        self._born = 0.0
        self._failures = 0
        self._start_at = 0.0
        # Whether the process has told anything yet, and looks since it last did.
        self._told = False
        self._silent = 0
        self._hung = False
        self.process: Popen[bytes] | None = None

    @property
    def started(self) -> bool:
        """Whether any process in this place has ever served."""
        return self.state.heard is not None

    def start(self) -> None:
        reader, writer = os.pipe()
        stdin, config = os.pipe()
        place = Place(self.state.slot, self._listener, writer, again=self.state.restarts > 0, hung=self._hung)
        try:
            os.write(config, self._config.to_json())
            os.close(config)
            self.process = start_child(
                [*self._command, *place.words()],
                # Told to end, not killed: what its buffer holds is written out.
                on_parent_death=signal.SIGTERM,
                stdin=stdin,
                environment={FOLDER_VARIABLE: self._folder},
                pass_fds=(self._listener, writer),
            )
        finally:
            os.close(writer)
            os.close(stdin)
        os.set_blocking(reader, False)
        self._pipe, self._partial, self._born = reader, b"", time.monotonic()
        self._told, self._silent, self._hung = False, 0, False
        self.state = replace(self.state, pid=self.process.pid)

    def look(self) -> None:
        """Read what it tells; kill it if it is silent for too long; after its end, say when the next may start."""
        self._listen()
        if self.process is None:
            return
        if self.process.poll() is None:
            self._kill_if_hung(self.process)
            return
        lived = time.monotonic() - self._born
        self._failures = 0 if lived >= _HEALTHY_S else self._failures + 1
        delay = min(_FIRST_DELAY_S * 2**self._failures, _LAST_DELAY_S)
        self._start_at = time.monotonic() + delay
        _log.error("worker_ended", worker=self.state.slot, status=self.process.returncode, again_s=delay)
        self.clear()
        self.state = replace(self.state, pid=None, restarts=self.state.restarts + 1, report={})

    def _kill_if_hung(self, process: "Popen[bytes]") -> None:
        # Counted in looks, not by the clock: where the whole machine stood still, nobody hung.
        self._silent += 1
        limit_ms = self._config.hung_after_ms
        if not limit_ms or not self._told or self._silent * _LOOK_S * 1000 < limit_ms:
            return
        _log.error("worker_hung", worker=self.state.slot, pid=process.pid, silent_ms=limit_ms)
        self._hung, self._silent = True, 0
        process.kill()

    def start_again(self) -> None:
        """Start one in the place of one that ended, once it is time."""
        if self.process is None and time.monotonic() >= self._start_at:
            self.start()

    def clear(self) -> None:
        """Let go of an ended process."""
        self.process = None
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        forget_worker(self.state.slot, self._folder)

    def _listen(self) -> None:
        try:
            data = b"" if self._pipe is None else os.read(self._pipe, _PIPE_BYTES)
        except BlockingIOError:
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        if lines:
            self._told, self._silent = True, 0
            self.state = replace(self.state, heard=time.monotonic(), report=msgspec.json.decode(lines[-1]))


class Supervisor:
    """Keeps ``config.workers`` processes serving one listening socket.

    ``command`` starts a worker: it gets a ``Place`` as further arguments and the configuration as JSON on its
    standard input. The socket stays open in this process: while a worker is replaced, connections wait or go to
    others, none is refused.
    """

    def __init__(self, config: ServerConfig, command: Sequence[str]) -> None:
        """Prepare; nothing is started yet."""
        self._config = config
        self._command = command
        self._workers: list[_Worker] = []
        self._ending = False

    def states(self) -> list[WorkerState]:
        """What is known of every worker now (from any thread)."""
        return [worker.state for worker in self._workers]

    def run(self, beside: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        """Serve until SIGTERM or SIGINT, then let every worker finish and write its buffer out.

        To be called from the main thread. ``beside`` runs meanwhile.

        Raises:
            SetupError: if the port is taken, or a worker cannot start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._end())
        with tempfile.TemporaryDirectory(prefix="backdrop-serve-") as folder:
            listener = listen(self._config.host, self._config.port)
            self._workers = [
                _Worker(slot, self._config, self._command, listener.fileno(), folder)
                for slot in range(self._config.workers)
            ]
            try:
                with beside():
                    self._keep()
            finally:
                self._stop(listener)

    def _keep(self) -> None:
        for worker in self._workers:
            worker.start()
        while not self._ending:
            for worker in self._workers:
                process = worker.process
                worker.look()
                ended = process is not None and worker.process is None
                # What ails all of them shows before any serves; later on, each is started again.
                if process is not None and ended and not any(each.started for each in self._workers):
                    message = (
                        f"worker {worker.state.slot} ended with status {process.returncode} before it served: "
                        "its log says why"
                    )
                    raise SetupError(message)
                worker.start_again()
            time.sleep(_LOOK_S)

    def _end(self) -> None:
        self._ending = True

    def _stop(self, listener: socket.socket) -> None:
        """Tell all to end; the workers hold the socket for as long as they take connections."""
        listener.close()
        config = self._config
        deadline = time.monotonic() + (config.drain_notice_ms + 2 * config.drain_ms) / 1000 + _MARGIN_S
        running = [worker for worker in self._workers if worker.process is not None]
        for worker in running:
            _signal(worker.process, signal.SIGTERM)
        while running and time.monotonic() < deadline:
            running = [worker for worker in running if worker.process is not None and worker.process.poll() is None]
            time.sleep(_LOOK_S)
        for worker in running:
            _log.error("worker_killed", worker=worker.state.slot, pid=worker.state.pid)
            _signal(worker.process, signal.SIGKILL)
        for worker in self._workers:
            if worker.process is not None:
                worker.process.wait()
                worker.clear()


def _signal(process: "Popen[bytes] | None", number: signal.Signals) -> None:
    if process is not None:
        process.send_signal(number)
