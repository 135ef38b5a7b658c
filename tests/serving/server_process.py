"""Runs a server of its own, as `backdrop serve` does.

python -m tests.serving.server_process '<config as JSON>' [<file with milliseconds by which its clock is wrong>]
"""

import sys
import time
from pathlib import Path

from serving import ServerConfig, Supervisor, serve

WORKER = (sys.executable, "-m", "backdrop.serve_worker")


def shift_clock(offset: Path) -> None:
    """Make this process's wall clock wrong by what ``offset`` says at each look; monotonic clocks stay right."""
    right_ns = time.time_ns

    def wrong_ns() -> int:
        return right_ns() + int(offset.read_text()) * 1_000_000

    time.time_ns = wrong_ns
    time.time = lambda: wrong_ns() / 1e9


if __name__ == "__main__":
    if sys.argv[2:]:
        shift_clock(Path(sys.argv[2]))
    config = ServerConfig.from_json(sys.argv[1].encode())
    if config.workers > 1:
        Supervisor(config, WORKER).run()
    else:
        serve(config)
