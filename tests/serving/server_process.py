"""Runs a server of its own, as `backdrop serve` does.

python -m tests.serving.server_process '<config as JSON>' [<file with milliseconds by which its clock is wrong>]
"""

import sys
import time
from pathlib import Path

import msgspec

from serving import ServerConfig, serve


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
    serve(msgspec.json.decode(sys.argv[1], type=ServerConfig, dec_hook=lambda _, text: Path(text)))
