"""What the stages count: Beam's counters and distributions, and files that a progress bar can look at."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apache_beam.metrics.metric import Metrics

NAMESPACE = "generate"
MADE, LEFT = "made", "left"
_FOLDERS = (MADE, LEFT)


def count(name: str, by: int = 1) -> None:
    """Raise a counter."""
    counter: Any = Metrics.counter(NAMESPACE, name)
    counter.inc(by)


def observe(name: str, value: float) -> None:
    """Add a value, rounded, to a distribution."""
    distribution: Any = Metrics.distribution(NAMESPACE, name)
    distribution.update(round(value))


def observe_seconds(doing: str, seconds: float) -> None:
    """Add a time to the distribution ``<doing>_ms``."""
    observe(f"{doing}_ms", seconds * 1000)


@contextmanager
def timed(doing: str) -> Iterator[None]:
    """Add the time spent inside to the distribution ``<doing>_ms``."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        observe_seconds(doing, time.perf_counter() - begun)


def tally(folder: str, what: str, pictures: int) -> None:
    """Count pictures as ``MADE``, or as ``LEFT`` out (they exist, or cannot be made), in a file of this process."""
    if folder and pictures:
        with open(Path(folder) / what / str(os.getpid()), "ab") as file:
            file.write(b"." * pictures)


def prepare_tally(folder: Path) -> None:
    """Make the places that ``tally`` counts in."""
    for what in _FOLDERS:
        (folder / what).mkdir(parents=True, exist_ok=True)


def tallied(folder: Path, what: str) -> int:
    """How many pictures all processes have counted."""
    return sum(path.stat().st_size for path in (folder / what).iterdir())
