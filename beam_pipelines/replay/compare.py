"""The check behind "streaming state = batch replay": what is stored against what the log says, bit for bit."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from beam_pipelines.replay.state import LineageState, ReplayedCategory, entries_in_order, replay
from contracts import EventLog, StatisticsBlob, UnavailableError, decode_statistics, keys
from stores.objects import ObjectStore
from stores.progress import Progress, progress_of
from stores.statistics import NEVER, CategoryState, StatisticsStore

_PAUSE_S = 0.2
_ARRAYS = ("n", "reward", "gram", "moment")


@dataclass(frozen=True, slots=True)
class Identity:
    """Outcome of the check as of ``watermark_ms``: distinct windows closed, facts counted, what differs."""

    identical: bool
    windows_closed: int
    facts: int
    differences: tuple[str, ...]
    watermark_ms: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is stored of a lineage, with the low watermark that it is as of."""

    watermark_ms: int
    categories: dict[str, CategoryState]


def compare(
    store: StatisticsStore, log: EventLog, objects: ObjectStore | None = None, *, patience_s: float = 60.0
) -> Identity:
    """Wait until the learner has reached the end of a log at rest, then compare what it stored with a replay.

    Both are taken as of one watermark: the stored low watermark, behind which the log has nothing more.

    Raises:
        UnavailableError: if the learner does not get there within ``patience_s``, or the log keeps growing.
        GapError: if the log (archive and live) is not whole.
    """
    found = settled(store, log, patience_s=patience_s)
    settings = store.settings()
    state = replay(entries_in_order(log, objects), settings, lineage=store.lineage, watermark_ms=found.watermark_ms)
    differences = tuple(differences_of(found, state))
    return Identity(not differences, state.windows_closed, state.facts, differences, found.watermark_ms)


def settled(store: StatisticsStore, log: EventLog, *, patience_s: float) -> Snapshot:
    """What is stored at an instant at which everything in the log is in it, and no window is being closed.

    Raises:
        UnavailableError: if there is no such instant within ``patience_s``.
        LineageError: if there is no such lineage.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            found, progress = _at_rest(store, log)
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
        else:
            if found is not None:
                return found
            if time.monotonic() > deadline:
                message = (
                    f"lineage {store.lineage!r} has folded the log up to {progress.low_watermark_ms}, its newest entry "
                    f"is of {progress.newest_ms}: stop the traffic, check that a learner runs, and try again"
                )
                raise UnavailableError(message)
        time.sleep(_PAUSE_S)


def _at_rest(store: StatisticsStore, log: EventLog) -> tuple[Snapshot | None, Progress]:
    settings = store.settings()
    before = progress_of(store, log)
    if not before.caught_up:
        return None, before
    categories = {name: store.state(name) for name in store.categories()}
    after = progress_of(store, log)
    still = (after.low_watermark_ms, after.newest_ms) == (before.low_watermark_ms, before.newest_ms)
    open_from = settings.first_open_window(before.low_watermark_ms)
    if not still or any(state.through >= open_from for state in categories.values()):
        return None, after
    return Snapshot(before.low_watermark_ms, categories), after


def differences_of(stored: Snapshot, replayed: LineageState) -> Iterator[str]:
    """Everything in which they are not equal, in words."""
    for name in sorted({*stored.categories, *replayed.categories}):
        yield from _category(
            name,
            stored.categories.get(name, CategoryState()),
            replayed.categories.get(name, ReplayedCategory(None, {})),
        )


def _category(name: str, stored: CategoryState, replayed: ReplayedCategory) -> Iterator[str]:
    through = NEVER if replayed.base is None else replayed.base.through
    if stored.through != through:
        yield f"{name}: closed through {stored.through} in the store, through {through} in the replay"
        return
    yield from _blobs(
        f"{name}: base", decode_statistics(stored.base) if stored.base is not None else None, replayed.base
    )
    expected = {keys.delta_field(window, shard): blob for (window, shard), blob in replayed.deltas.items()}
    for place in sorted({*stored.deltas, *expected}):
        held = stored.deltas.get(place)
        yield from _blobs(
            f"{name}: delta {place}", None if held is None else decode_statistics(held[1]), expected.get(place)
        )


def _blobs(what: str, stored: StatisticsBlob | None, replayed: StatisticsBlob | None) -> Iterator[str]:
    if stored is None or replayed is None:
        if stored is not replayed:
            yield f"{what}: only in the {'replay' if stored is None else 'store'}"
        return
    for field in ("version", "window", "shard", "through", "schema_hash", "lineage", "arms", "counts"):
        mine, theirs = getattr(stored, field), getattr(replayed, field)
        if mine != theirs:
            yield f"{what}: {field} is {mine} in the store, {theirs} in the replay"
            return
    for field in _ARRAYS:
        mine, theirs = getattr(stored, field), getattr(replayed, field)
        if mine.tobytes() != theirs.tobytes():
            places = np.argwhere(mine != theirs)
            yield f"{what}: {field} differs in {len(places)} of {mine.size} values"
