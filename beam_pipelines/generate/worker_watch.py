"""A worker process that dies: Beam's own runner would wait for its answer for ever, so the run is given up."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# The thread that waits for a worker process; it raises, to nobody, when that ends other than by itself.
_WAITS = "run_worker"
# A pipeline that ends takes its workers with it, and is then over at once.
_GRACE_S = 3.0


@contextmanager
def watched_workers(give_up: Callable[[str], None], grace_s: float = _GRACE_S) -> Iterator[None]:
    """Call ``give_up`` with a sentence if a worker process dies and this is still open after ``grace_s``."""
    over = threading.Event()
    others = threading.excepthook

    def wait(what: str) -> None:
        if not over.wait(grace_s):
            give_up(
                f"a worker process died ({what}; 137 and -9 are kills, mostly because memory ran out): "
                "set generate.workers lower, or run again: what is stored stays"
            )

    def hook(raised: threading.ExceptHookArgs) -> None:
        if raised.thread is None or raised.thread.name != _WAITS:
            others(raised)
            return
        threading.Thread(target=wait, args=(str(raised.exc_value),), daemon=True).start()

    threading.excepthook = hook
    try:
        yield
    finally:
        over.set()
        threading.excepthook = others
