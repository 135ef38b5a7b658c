"""Manifest parts: where they lie, and how to read all of them while runs add some and upkeep merges others.

A run writes *small* parts. Upkeep writes *merged* ones and then removes the small parts whose rows are in them
(``merge``). Names are hashes of what parts hold, so a name never gets other content, and merged parts are never
removed: whatever is missing from the small parts is in the merged ones.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from contracts import MissingObjectError, StoreError
from stores import ObjectStore

PREFIX = "manifest/"
MERGED_PREFIX = f"{PREFIX}merged/"
PARQUET = "application/vnd.apache.parquet"
# Small parts wait for the store, merged ones take memory.
_SMALL_AT_ONCE, _MERGED_AT_ONCE = 16, 2
# A part that is listed and gone as often is not being merged: something is wrong.
_LISTINGS = 10

Found = TypeVar("Found")


def write_named(objects: ObjectStore, prefix: str, data: bytes) -> str:
    """Write a part under the hash of its bytes; returns its path."""
    path = f"{prefix}{hashlib.sha256(data).hexdigest()[:32]}.parquet"
    objects.put_if_absent(path, data, PARQUET)
    return path


def small_parts(objects: ObjectStore) -> list[str]:
    """Paths of the parts that runs wrote and that were not merged yet.

    Raises:
        StoreError: if the object store fails.
    """
    return [path for path in objects.list(PREFIX) if not path.startswith(MERGED_PREFIX)]


def read_parts(objects: ObjectStore, read: Callable[[bytes], Found]) -> Iterator[Found]:
    """What ``read`` makes of every part; no row is missed that was there when this began.

    A row may come twice. ``read`` is called in several threads.

    Raises:
        StoreError: if the object store fails.
    """
    done: set[str] = set()
    for _ in range(_LISTINGS):
        # In this order: what was merged away before the first listing came to it is in the second.
        small, merged = small_parts(objects), list(objects.list(MERGED_PREFIX))
        gone: MissingObjectError | None = None
        for paths, at_once in ((small, _SMALL_AT_ONCE), (merged, _MERGED_AT_ONCE)):
            left = [path for path in paths if path not in done]
            for path, found in fetched(objects, left, read, at_once):
                if isinstance(found, MissingObjectError):
                    gone = found
                else:
                    done.add(path)
                    yield found
        if gone is None:
            return
    message = f"the manifest was listed {_LISTINGS} times, and each time a part that was listed was gone: {gone}"
    raise StoreError(message)


def fetched(
    objects: ObjectStore, paths: Iterable[str], read: Callable[[bytes], Found], at_once: int = _SMALL_AT_ONCE
) -> Iterator[tuple[str, Found | MissingObjectError]]:
    """Each path, in order, with what ``read`` makes of its bytes, or the error if it is gone; some at once.

    Raises:
        StoreError: if the object store fails.
    """

    def get(path: str) -> Found | MissingObjectError:
        try:
            return read(objects.get(path))
        except MissingObjectError as error:
            return error

    waiting: deque[tuple[str, Future[Found | MissingObjectError]]] = deque()
    with ThreadPoolExecutor(at_once) as threads:
        for path in paths:
            waiting.append((path, threads.submit(get, path)))
            # No more than that: what nobody has taken yet fills memory.
            if len(waiting) > at_once:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
