"""Processes that must not outlive the one that started them."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
# In the environment of worker processes that a run has started itself.
WORKER_MARK = "BACKDROP_GENERATE_WORKER"


def follow_parent() -> None:
    """In a worker process of a run: ask Linux to end it when its parent ends, however that happens (prctl(2))."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if os.environ.get(WORKER_MARK) and prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
