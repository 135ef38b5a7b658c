import asyncio
from collections.abc import Sequence

import pytest

from contracts import StoreError
from serving.facts import Signed
from serving.joint import JointAppends
from tests.serving.test_buffer import a_fact


class Log:
    def __init__(self) -> None:
        self.batches: list[list[Signed]] = []
        self.refused: list[Signed] = []
        self.away = False

    async def append(self, signed: Sequence[Signed]) -> list[Signed]:
        self.batches.append(list(signed))
        await asyncio.sleep(0.01)
        if self.away:
            message = "away"
            raise StoreError(message)
        return [each for each in signed if each in self.refused]


async def test_what_comes_in_one_moment_goes_in_one_append_and_later_ones_do_not_wait() -> None:
    log = Log()
    joint = JointAppends(log.append, limit=100)
    facts = [a_fact() for _ in range(12)]
    first = [asyncio.create_task(joint.append(fact)) for fact in facts[:7]]
    await asyncio.sleep(0.005)
    second = [asyncio.create_task(joint.append(fact)) for fact in facts[7:]]
    assert await asyncio.gather(*first, *second) == [True] * 12
    assert log.batches == [facts[:7], facts[7:]]


async def test_a_batch_is_bounded() -> None:
    log = Log()
    joint = JointAppends(log.append, limit=4)
    facts = [a_fact() for _ in range(10)]
    assert all(await asyncio.gather(*(joint.append(fact) for fact in facts)))
    assert log.batches == [facts[:4], facts[4:8], facts[8:]]


async def test_each_learns_what_became_of_its_own() -> None:
    log = Log()
    joint = JointAppends(log.append, limit=100)
    facts = [a_fact() for _ in range(5)]
    log.refused = [facts[3]]
    assert await asyncio.gather(*(joint.append(fact) for fact in facts)) == [True, True, True, False, True]
    log.away = True
    found = await asyncio.gather(*(joint.append(fact) for fact in facts), return_exceptions=True)
    assert [type(each) for each in found] == [StoreError] * 5
    log.away, log.refused = False, []
    assert await joint.append(facts[0])


async def test_one_that_goes_away_takes_nothing_from_the_others() -> None:
    log = Log()
    joint = JointAppends(log.append, limit=100)
    facts = [a_fact() for _ in range(3)]
    tasks = [asyncio.create_task(joint.append(fact)) for fact in facts]
    await asyncio.sleep(0.005)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert await asyncio.gather(*tasks[1:]) == [True, True]
    assert log.batches == [facts]
