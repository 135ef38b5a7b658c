"""Child processes that cannot outlive their parent, and the local ports they listen on."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from contracts import SetupError

# Runs in the child before the program takes its place: prctl(PR_SET_PDEATHSIG, …), which an exec keeps. A
# preexec_fn would do the same but may deadlock in a parent that has threads. The parent may be gone already.
_LAUNCHER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[1]), 0, 0, 0)
if os.getppid() == int(sys.argv[2]):
    os.execvp(sys.argv[3], sys.argv[3:])
"""


def start_child(
    command: Sequence[str],
    *,
    on_parent_death: signal.Signals,
    stdin: int = subprocess.DEVNULL,
    output: int | IO[bytes] | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a program that gets ``on_parent_death`` when the *thread* that started it ends: call it from the main one.

    It has a session of its own, so that Ctrl-C reaches the parent alone, which then stops it in order. ``output``
    takes standard output and error together (None: they stay the parent's); ``environment`` is added to the parent's;
    ``pass_fds`` stay open under their numbers.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(int(on_parent_death)), str(os.getpid()), *command],
        stdin=stdin,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        cwd=folder,
        env=None if environment is None else {**os.environ, **environment},
        start_new_session=True,
        pass_fds=pass_fds,
    )


def choose_port(wanted: int = 0, host: str = "127.0.0.1") -> int:
    """Return ``wanted`` if it is free, or a free port for 0.

    Raises:
        SetupError: if the wanted port is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As a server does: a port whose last connections only linger counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except OSError as error:
            message = (
                f"port {host}:{wanted} cannot be used ({error.strerror}): "
                "stop what uses it, or choose another with --port (0 takes any free one)"
            )
            raise SetupError(message) from error
        port: int = probe.getsockname()[1]
        return port
