"""A run's own objects for workers elsewhere (``plans/<run>/…``): their lease, their end, and those of dead runs."""

import json
import re
import secrets
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from contracts import Clock, MissingObjectError, StoreError, UnavailableError
from stores import ObjectStore

PREFIX = "plans/"
# Workers may go on without their driver: what a run left is removed only when none of them can still be there.
LEASE_MS = 7 * 24 * 3_600 * 1_000
RENEWED_EVERY_S = 3_600.0
_LEASE = "lease.json"
_RUN = re.compile(f"{PREFIX}[0-9a-f]{{16}}/")


def new_prefix() -> str:
    """Where a new run's objects begin."""
    return f"{PREFIX}{secrets.token_hex(8)}/"


@contextmanager
def leased(objects: ObjectStore, prefix: str, clock: Clock, every_s: float = RENEWED_EVERY_S) -> Iterator[None]:
    """Keep a run's objects from being taken for dead while this is open, then remove them.

    A store that is away does not get its error replaced by another: what cannot be removed is left to a later run.

    Raises:
        StoreError: if the object store fails when this opens.
    """
    _renew(objects, prefix, clock.now_ms())
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(every_s):
            # For an hour's outage a lease of days is long enough.
            with suppress(StoreError):
                _renew(objects, prefix, clock.now_ms())

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    away = False
    try:
        yield
    except UnavailableError:
        away = True
        raise
    finally:
        ended.set()
        if not away:
            renewing.join()
            with suppress(StoreError):
                _remove(objects, prefix, list(objects.list(prefix)))


def remove_dead(objects: ObjectStore, clock: Clock) -> int:
    """Remove what runs left whose lease has run out; returns how many runs.

    Objects without a lease (of an earlier version, or left when that was removed) get one, to be judged by.

    Raises:
        StoreError: if the object store fails.
    """
    runs: defaultdict[str, list[str]] = defaultdict(list)
    for path in objects.list(PREFIX):
        if found := _RUN.match(path):
            runs[found.group()].append(path)
    now_ms, dead = clock.now_ms(), 0
    for prefix, paths in runs.items():
        renewed_ms = _renewed_ms(objects, prefix)
        if renewed_ms is None:
            _renew(objects, prefix, now_ms)
        elif now_ms - renewed_ms > LEASE_MS:
            _remove(objects, prefix, paths)
            dead += 1
    return dead


def _renew(objects: ObjectStore, prefix: str, now_ms: int) -> None:
    objects.put(prefix + _LEASE, json.dumps({"renewed_ms": now_ms}).encode(), "application/json")


def _renewed_ms(objects: ObjectStore, prefix: str) -> int | None:
    try:
        found = json.loads(objects.get(prefix + _LEASE))
        return int(found["renewed_ms"])
    except (MissingObjectError, ValueError, KeyError, TypeError):
        return None


def _remove(objects: ObjectStore, prefix: str, paths: list[str]) -> None:
    # The lease last: whoever is stopped in between leaves something that is judged again.
    for path in sorted(paths, key=lambda path: path == prefix + _LEASE):
        objects.remove(path)
