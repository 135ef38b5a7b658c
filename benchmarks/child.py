"""A module of the benchmarks as a process of its own, with one thread of each library: its memory is its own."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE

from contracts import SetupError
from stores.child import start_child

_ROOT = Path(__file__).parents[1]
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def last_line(words: Sequence[str | Path]) -> str:
    """The last line that ``python -m`` with these words writes.

    Raises:
        SetupError: if it fails, with the end of what it wrote.
    """
    child = start_child(
        [sys.executable, "-m", *map(str, words)],
        on_parent_death=signal.SIGKILL,
        output=PIPE,
        folder=_ROOT,
        environment=_ONE_THREAD,
    )
    out, _ = child.communicate()
    if child.returncode:
        message = f"python -m {' '.join(map(str, words))} failed:\n{out.decode()[-2000:]}"
        raise SetupError(message)
    return out.decode().splitlines()[-1]
