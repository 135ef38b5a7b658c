"""Children of the demo: started in sessions of their own, watched, and stopped without leaving anything behind."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import uvloop

from contracts import BackdropError
from stores.child import start_child

GRACE_S = 10.0
_POLL_S = 0.05
_TAIL_BYTES = 4_000
_TAIL_LINES = 12
_ENDING = (signal.SIGINT, signal.SIGTERM)


class ChildDiedError(BackdropError):
    """A child process ended that should run, or ended with an error."""


class Child:
    """One child process with its log file; make it with ``Supervisor.start``."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.poll()

    def log_tail(self) -> str:
        """The last lines of its log."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(lines[-_TAIL_LINES:]) or "(its log is empty)"

    def check(self) -> None:
        """Raise if it has ended.

        Raises:
            ChildDiedError: with its exit status and the last lines of its log.
        """
        if self.code is not None:
            raise ChildDiedError(self._obituary())

    def wait(self, timeout_s: float, watch: Callable[[], None] = lambda: None) -> None:
        """Wait until it ends well, calling ``watch`` now and then.

        Raises:
            ChildDiedError: if it ends with an error, or has not ended in time.
        """
        deadline = time.monotonic() + timeout_s
        while self.code is None:
            if time.monotonic() > deadline:
                message = f"{self.name} has not finished within {timeout_s:.0f} s; {self.log_path} ends:\n"
                raise ChildDiedError(message + self.log_tail())
            watch()
            time.sleep(_POLL_S)
        if self.code != 0:
            raise ChildDiedError(self._obituary())

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End it and everything in its group: SIGTERM, and after ``grace_s`` SIGKILL."""
        self.ask_to_stop()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        # Whatever it had started itself and not ended.
        self._signal(signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the child alone: it ends its own children in its own order."""
        if self.code is None:
            self._process.terminate()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def _obituary(self) -> str:
        code = self.code or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return f"{self.name} {how}; {self.log_path} ends:\n{self.log_tail()}"


class Supervisor:
    """Starts children and stops them in reverse order when its block is left, however it is left.

    Start them from the main thread: Linux sends the parent-death signal when the *thread* that forked ends.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start a child; its output goes to ``<logs>/<name>.log``."""
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / f"{name}.log"
        with path.open("wb") as log:
            process = start_child(command, on_parent_death=signal.SIGTERM, output=log, environment=environment)
        child = Child(name, process, path)
        self._children.append(child)
        return child

    @property
    def children(self) -> tuple[Child, ...]:
        """Those started, in order."""
        return tuple(self._children)

    def check(self) -> None:
        """Raise if any child failed.

        Raises:
            ChildDiedError: for the first that ended with an error.
        """
        for child in self._children:
            if child.code not in {None, 0}:
                child.check()

    def wait_ready(self, child: Child, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until ``ready`` says so.

        Raises:
            ChildDiedError: if the child ends first or is not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            child.check()
            if time.monotonic() > deadline:
                message = f"{child.name} was not ready within {timeout_s:.0f} s; {child.log_path} ends:\n"
                raise ChildDiedError(message + child.log_tail())
            time.sleep(_POLL_S)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Stop all, the last started first."""
        while self._children:
            child = self._children[-1]
            child.stop(grace_s)
            self._children.pop()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all children."""
        self.stop()


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM into the KeyboardInterrupt that SIGINT is; while leaving, further signals change nothing.

    Must run in the main thread.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        # Once is enough: what is then being stopped must be stopped to the end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _ENDING}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop inside ``interruptible``; a signal cancels it, and then interrupts as elsewhere.

    A handler that raises inside uvloop's callbacks can be lost, so the loop gets handlers of its own.
    """
    received: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)

        def stop(number: int) -> None:
            received.append(number)
            task.cancel()

        for number in _ENDING:
            loop.add_signal_handler(number, stop, number)
        try:
            await task
        except asyncio.CancelledError:
            if not received:
                raise
        finally:
            for number in _ENDING:
                loop.remove_signal_handler(number)

    before = {number: signal.getsignal(number) for number in _ENDING}
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])
