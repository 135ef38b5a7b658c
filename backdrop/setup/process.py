"""Child processes that die with the set-up, and signals that arrive at safe moments only."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from backdrop.setup.console import Console
from backdrop.setup.errors import Interrupted, SetupError

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_S = 0.1
_TERM_S = 3.0


@dataclass(slots=True)
class Signals:
    """Turns stop signals into `Interrupted`, held back while `deferred`."""

    _held: bool = False
    _pending: list[int] = field(default_factory=list)

    def install(self) -> None:
        """Take over SIGINT, SIGTERM and SIGHUP for this process."""
        for number in _STOP_SIGNALS:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._held:
            self._pending.append(number)
            return
        raise Interrupted(number)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold signals back for the body, which must be short; raise afterwards if one came."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending:
            raise Interrupted(self._pending.pop(0))


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs programs for the set-up.

    Attributes:
        console: shows a bar while a program runs.
        signals: keeps a signal from falling between a program's start and its registration.
        env: environment of every program.
        log: file that gets all their output.
        cwd: their working folder.
    """

    console: Console
    signals: Signals
    env: Mapping[str, str]
    log: Path
    cwd: Path

    def run(
        self,
        argv: Sequence[str],
        *,
        label: str,
        fix: str,
        env: Mapping[str, str] | None = None,
        first_error: bool = False,
    ) -> None:
        """Run a program to its end behind a progress bar.

        Args:
            argv: program and arguments.
            label: what the step does, for the person watching.
            fix: what to do when it fails, a clause that ends the error's sentence.
            env: variables on top of this runner's.
            first_error: whether its first error line says why it failed (what follows is advice).

        Raises:
            SetupError: the program is missing or ends with another status than 0.
            Interrupted: a signal came; the program and its children have been ended.
        """
        progress = self.console.begin(label)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log.write(f"\n$ {' '.join(argv)}\n".encode())
            log.flush()
            start = log.tell()
            status = self._wait(argv, log.fileno(), {**self.env, **(env or {})}, progress.tick)
        if status != 0:
            progress.close("failed")
            reason = reason_in(self.log, start, first=first_error)
            message = f"{label} failed with status {status} ({reason}): {fix}; the whole output is in {self.log}"
            raise SetupError(message)
        progress.close("done")

    def _wait(self, argv: Sequence[str], output: int, env: Mapping[str, str], tick: Callable[[], None]) -> int:
        child: subprocess.Popen[bytes] | None = None
        try:
            with self.signals.deferred():
                child = _start(argv, output, env, self.cwd)
            while child.poll() is None:
                tick()
                time.sleep(_POLL_S)
        finally:
            if child is not None:
                end_group(child)
        return child.returncode


def _start(argv: Sequence[str], output: int, env: Mapping[str, str], cwd: Path) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        message = f"cannot start {argv[0]!r} ({error.strerror}): check that it is there and executable"
        raise SetupError(message) from error


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child that leads its own process group, and whatever it started; patient first, then not."""
    _signal_group(child.pid, signal.SIGTERM if child.poll() is None else signal.SIGKILL)
    try:
        child.wait(timeout=_TERM_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal_group(child.pid, signal.SIGKILL)
        child.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def reason_in(log: Path, start: int, *, first: bool = False) -> str:
    """Return the line that most likely says why a program failed: its last (or first) "error" line, else any such."""
    with log.open("rb") as file:
        file.seek(start)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines)[0 if first else -1][:300]


def output_of(argv: Sequence[str], env: Mapping[str, str], timeout_s: float = 20.0) -> str | None:
    """Return what a quick program prints (both streams), or None where it cannot run or takes too long."""
    try:
        found = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.decode(errors="replace")
