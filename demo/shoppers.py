"""The shoppers at work: they ask for ads over HTTP, load what they are shown, and click as the hidden truth says.

They know nothing of the learner, and the server knows nothing of them but their requests.
"""

import asyncio
import collections
import math
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts import POLICIES, UnavailableError
from demo.http import Client
from demo.outcomes import Outcomes
from demo.visits import Visits
from demo.world import World

_OK = 200
_FOUND = 302
_MAX_FAILURES_IN_A_ROW = 50


class _Ad(msgspec.Struct):
    item: str
    arm: str
    policy: str
    impression_url: str
    click_url: str
    flags: list[str] = []


class _Model(msgspec.Struct):
    lineage: str
    generation: int
    age_ms: int


class _Answer(msgspec.Struct):
    decisions: list[_Ad]
    model: _Model | None = None
    flags: list[str] = []


_decoder = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast to go: at most ``decisions_per_s``, with at most ``pages_at_once`` page views under way.

    On a slow machine shoppers stop coming after ``limit_s`` seconds, once there were ``enough`` decisions.
    """

    decisions_per_s: float = 650.0
    pages_at_once: int = 32
    limit_s: float = math.inf
    enough: int = 0


class Ledger:
    """What has happened so far: columns (M · k) filled as answers arrive, and counters for the live view.

    ``shown`` and ``clicks`` count by policy (Q,). ``facts`` counts, per category code (C,), each impression and
    click that the server has answered, once. ``served`` is the newest model generation seen per category. ``flags``
    counts decisions by what the server said of them.
    """

    def __init__(self, visits: Visits, item_category: NDArray[np.int64]) -> None:
        size = visits.item.size
        self.user = np.repeat(visits.user, visits.ads)
        self.item = visits.item.reshape(-1)
        self.placement = np.repeat(visits.placement, visits.ads)
        self.arm = np.zeros(size, dtype=np.int64)
        self.policy = np.full(size, -1, dtype=np.int64)
        self.was_shown = np.zeros(size, dtype=np.bool_)
        self.was_clicked = np.zeros(size, dtype=np.bool_)
        self.category = item_category[self.item]
        self.shown = np.zeros(len(POLICIES), dtype=np.int64)
        self.clicks = np.zeros(len(POLICIES), dtype=np.int64)
        self.facts = np.zeros(int(item_category.max()) + 1, dtype=np.int64)
        self.served = np.full(len(self.facts), -1, dtype=np.int64)
        self.decided = 0
        self.pages_done = 0
        self.problems: collections.Counter[str] = collections.Counter()
        self.flags: collections.Counter[str] = collections.Counter()

    @property
    def total(self) -> int:
        """Decisions asked for in all."""
        return len(self.user)

    def decide(self, row: int, arm: int, policy: int) -> None:
        """Note one decision."""
        self.arm[row] = arm
        self.policy[row] = policy
        self.decided += 1

    def show(self, row: int) -> None:
        """Note that an impression was loaded."""
        if not self.was_shown[row]:
            self.was_shown[row] = True
            self.shown[self.policy[row]] += 1
            self.facts[self.category[row]] += 1

    def click(self, row: int) -> None:
        """Note that a click arrived."""
        if not self.was_clicked[row]:
            self.was_clicked[row] = True
            self.clicks[self.policy[row]] += 1
            self.facts[self.category[row]] += 1

    def outcomes(self) -> Outcomes:
        """Columns of all decisions made."""
        made = self.policy >= 0
        return Outcomes(
            user=self.user[made],
            item=self.item[made],
            placement=self.placement[made],
            arm=self.arm[made],
            policy=self.policy[made],
            shown=self.was_shown[made],
            clicked=self.was_clicked[made],
        )


class Shoppers:
    """Lives through ``visits`` against the server at ``base_url``; ``names`` are the users' ids."""

    def __init__(self, base_url: str, names: tuple[str, ...], world: World, visits: Visits, ledger: Ledger) -> None:
        parts = urlsplit(base_url)
        self._client = Client(parts.hostname or "127.0.0.1", parts.port or 80)
        self._names = names
        self._world = world
        self._visits = visits
        self._ledger = ledger
        self._columns = [{arm: column for column, arm in enumerate(arms)} for arms in world.arms]
        self._policies = {policy: code for code, policy in enumerate(POLICIES)}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._broken: BaseException | None = None

    async def run(self, pace: Pace) -> None:
        """Go through the visits at the given pace; returns when the last late click has arrived.

        Raises:
            UnavailableError: if the server fails 50 times in a row.
        """
        slots = asyncio.Semaphore(pace.pages_at_once)
        step_s = self._visits.ads / pace.decisions_per_s
        started = time.monotonic()
        try:
            for page in range(len(self._visits)):
                ahead_s = started + page * step_s - time.monotonic()
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)
                await slots.acquire()
                self._refuse_failure()
                if time.monotonic() - started > pace.limit_s and self._ledger.decided >= pace.enough:
                    break
                self._start(self._page(page, slots))
            while self._tasks:
                await asyncio.wait(self._tasks)
            self._refuse_failure()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._client.close()

    async def _page(self, page: int, slots: asyncio.Semaphore) -> None:
        """Ask for the page's ads and load those that load at once; the others go their own ways."""
        visits, now = self._visits, []
        try:
            answer = await self._decide(page)
            if answer is None:
                return
            for place, ad in enumerate(answer.decisions):
                row = page * visits.ads + place
                column = self._columns[visits.item[page, place]].get(ad.arm)
                policy = self._policies.get(ad.policy)
                if column is None or policy is None:
                    self._ledger.problems["unknown arm or policy"] += 1
                    continue
                self._ledger.decide(row, column, policy)
                self._ledger.flags.update((*answer.flags, *ad.flags))
                if visits.seen[page, place]:
                    if visits.load_s[page, place] > 0:
                        self._start(self._ad(page, place, column, ad))
                    else:
                        now.append(self._ad(page, place, column, ad))
            await asyncio.gather(*now)
        finally:
            self._ledger.pages_done += 1
            slots.release()

    async def _decide(self, page: int) -> _Answer | None:
        visits, world = self._visits, self._world
        items = [{"id": world.items[item]} for item in visits.item[page]]
        body = msgspec.json.encode(
            {
                "user": self._names[visits.user[page]],
                "placement": world.placements[visits.placement[page]],
                "items": items,
            }
        )
        try:
            reply = await self._client.post("/v1/decide", body)
        except UnavailableError as error:
            self._failed(f"decide: {error}")
            return None
        if reply.status != _OK:
            self._failed(f"decide: status {reply.status}")
            return None
        answer = _decoder.decode(reply.body)
        self._failures = 0
        if answer.model is not None:
            category = self._ledger.category[page * visits.ads]
            self._ledger.served[category] = max(self._ledger.served[category], answer.model.generation)
        return answer

    async def _ad(self, page: int, place: int, column: int, ad: _Ad) -> None:
        """Load one impression; if the truth says so, click a while later."""
        visits, world = self._visits, self._world
        row = page * visits.ads + place
        if visits.load_s[page, place] > 0:
            await asyncio.sleep(visits.load_s[page, place])
        if not await self._load(ad.impression_url, _OK):
            return
        self._ledger.show(row)
        truth = world.chance(visits.user[page], visits.item[page, place], visits.placement[page], column)
        if visits.coin[page, place] < truth:
            self._start(self._click(page, place, ad))
        if visits.load_twice[page, place]:
            await self._load(ad.impression_url, _OK)

    async def _click(self, page: int, place: int, ad: _Ad) -> None:
        visits = self._visits
        await asyncio.sleep(visits.click_s[page, place])
        if await self._load(ad.click_url, _FOUND):
            self._ledger.click(page * visits.ads + place)
        if visits.click_twice[page, place]:
            await self._load(ad.click_url, _FOUND)

    async def _load(self, url: str, expected: int) -> bool:
        parts = url.partition("://")[2].partition("/")
        try:
            reply = await self._client.get("/" + parts[2])
        except UnavailableError as error:
            self._failed(f"load: {error}")
            return False
        if reply.status != expected:
            self._failed(f"load: status {reply.status}")
            return False
        self._failures = 0
        return True

    def _start(self, work: "collections.abc.Coroutine[object, object, None]") -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._broken = self._broken or task.exception()

    def _failed(self, reason: str) -> None:
        self._ledger.problems[reason] += 1
        self._failures += 1

    def _refuse_failure(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._failures >= _MAX_FAILURES_IN_A_ROW:
            reason, _ = self._ledger.problems.most_common(1)[0]
            message = f"the server failed {self._failures} times in a row, mostly with: {reason}; see its log"
            raise UnavailableError(message)
