"""Traffic as servers make it, at a steady rate: late, early, twice, out of order, of categories that come and go."""

import threading
import time
from collections import defaultdict, deque

import numpy as np
from numpy.typing import NDArray

from contracts import LineageSettings, UnavailableError
from stores.redis_log import RedisEventLog
from tests.chaos.facts import ARMS, ROW, SCHEMA, Rows, clicks, decisions, encode
from tests.chaos.known import Appended, Known

_TICK_S = 0.05
_ENTRIES_PER_TICK = 2
_DAYS_MS = 3 * 86_400_000
_RETRY_S = 0.05
_REMEMBERED = 2_000
_OTHER_SCHEMA = "0" * 16


class Traffic:
    """A thread that appends about ``rate`` facts a second until it is stopped; every entry until it is answered for.

    ``partitions``: those that get any; may be changed at any time.
    """

    def __init__(self, log: RedisEventLog, settings: LineageSettings, *, rate: int, seed: int) -> None:
        self._log = log
        self._settings = settings
        self._per_tick = max(1, round(rate * _TICK_S))
        self._rng = np.random.default_rng(seed)
        self._tick = 0
        self._waiting: dict[int, list[Rows]] = defaultdict(list)
        self._past: deque[Rows] = deque(maxlen=_REMEMBERED)
        self._stop = threading.Event()
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=lambda: None)
        self.partitions = tuple(range(log.partitions))
        self.known = Known()
        self.poisoned = 0
        self.retried = 0

    def start(self) -> None:
        """Begin, or go on."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()

    def stop(self, within_s: float = 60.0) -> None:
        """End with the entry at hand answered for; raises what ended it before."""
        self._stop.set()
        self._thread.join(within_s)
        assert not self._thread.is_alive(), f"the log did not answer within {within_s} s"
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        try:
            self._go()
        except Exception as error:
            self._fault = error

    def _go(self) -> None:
        due_s = time.monotonic()
        while not self._stop.is_set():
            rows = self._some_rows()
            place = self._rng.integers(0, _ENTRIES_PER_TICK, len(rows))
            for number in np.unique(place):
                self._append(rows[place == number])
            # After an outage it goes on at its rate: it does not make up for what was never shown.
            due_s = max(due_s + _TICK_S, time.monotonic() - 1)
            self._stop.wait(max(0.0, due_s - time.monotonic()))

    def _some_rows(self) -> Rows:
        rng, settings, now_ms = self._rng, self._settings, time.time_ns() // 1_000_000
        n = self._per_tick * 6 // 10
        at_ms = now_ms - rng.integers(0, max(1, settings.attribution_ms // 10), n)
        odd = rng.random(n)
        # A server's clock ahead by more than is tolerated, and a page that was open for days.
        at_ms = np.where(odd < 0.01, now_ms + 2 * settings.grace_ms + 2_000, at_ms)
        at_ms = np.where(odd > 0.99, now_ms - _DAYS_MS, at_ms)
        fresh = decisions(at_ms, self._categories(n), min(len(ARMS), 3 + self._tick // 100), rng)
        clicked = fresh[rng.random(n) < 0.4]
        # At once, soon, about the attribution window (inclusive), and beyond it.
        reach = settings.attribution_ms
        choices = np.array([0, 10, reach // 10, reach // 2, reach, reach + 1, 2 * reach], dtype=np.int64)
        delay_ms = rng.choice(choices, len(clicked), p=(0.3, 0.2, 0.2, 0.2, 0.04, 0.03, 0.03))
        click = clicks(clicked, delay_ms)
        for ticks in np.unique(delay_ms // int(_TICK_S * 1000)):
            self._waiting[self._tick + int(ticks)].append(click[delay_ms // int(_TICK_S * 1000) == ticks])
        # Some impressions come after their click, some never.
        fate = rng.random(n)
        self._waiting[self._tick + 20].append(fresh[(fate > 0.93) & (fate < 0.97)])
        fresh = fresh[fate <= 0.93]
        self._past += (fresh, click)
        again = self._past[rng.integers(len(self._past))]
        near = clicks(again[: self._per_tick // 20], np.full(len(again[: self._per_tick // 20]), 5))
        parts = [fresh, *self._waiting.pop(self._tick, []), again[: self._per_tick // 10], near]
        self._tick += 1
        return np.concatenate(parts).astype(ROW)

    def _categories(self, n: int) -> NDArray[np.int16]:
        """Two large ones, one with a fact now and then, and one that appears every ten seconds."""
        drawn = self._rng.random(n)
        newest = 3 + self._tick // 200
        return np.select([drawn < 0.6, drawn < 0.95, drawn < 0.9502], [0, 1, 2], newest).astype(np.int16)

    def _names(self) -> tuple[str, ...]:
        return ("lamps", "chairs", "rare", *(f"new-{i}" for i in range(1 + self._tick // 200)))

    def _append(self, rows: Rows) -> None:
        odd = float(self._rng.random())
        poison, foreign = odd < 0.01, odd > 0.99
        blob = encode(rows, self._names(), schema_hash=_OTHER_SCHEMA if foreign else SCHEMA)
        if poison:
            self.poisoned += 1
            blob = blob[: len(blob) // 2]
        partition = int(self._rng.choice(self.partitions))
        tried_ms, attempts = time.time_ns() // 1_000_000, 0
        while True:
            attempts += 1
            try:
                (position,) = self._log.append(partition, [blob])
            except UnavailableError:
                self.retried += 1
                time.sleep(_RETRY_S)
                continue
            break
        learned = rows[:0] if poison or foreign else rows
        self.known.add(Appended(partition, position, tried_ms if attempts > 1 else position.append_ms, learned))
