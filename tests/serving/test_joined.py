"""Writes that become one, in their order."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serving.joined import JoinedWrites


class Recorded:
    """A transport that remembers what was asked of it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed_after: int | None = None

    def write(self, data: bytes) -> None:
        assert self.closed_after is None, "written after the end"
        self.writes.append(data)

    def close(self) -> None:
        self.closed_after = len(self.writes)

    def get_write_buffer_size(self) -> int:
        return 7


def joined() -> tuple[Recorded, JoinedWrites]:
    recorded = Recorded()
    transport: Any = recorded
    return recorded, JoinedWrites(transport, asyncio.get_running_loop())


async def test_head_and_body_are_one_write() -> None:
    recorded, transport = joined()
    transport.write(b"head")
    transport.write(b"body")
    assert recorded.writes == [b"headbody"]
    await asyncio.sleep(0)
    assert recorded.writes == [b"headbody"]


async def test_a_head_alone_goes_out_in_the_next_turn() -> None:
    recorded, transport = joined()
    transport.write(b"head")
    await asyncio.sleep(0)
    assert recorded.writes == [b"head"]


async def test_what_was_kept_back_goes_out_before_the_end() -> None:
    recorded, transport = joined()
    transport.write(b"head")
    transport.close()
    await asyncio.sleep(0)
    assert (recorded.writes, recorded.closed_after) == ([b"head"], 1)


async def test_the_rest_is_the_transports_own() -> None:
    _, transport = joined()
    assert transport.get_write_buffer_size() == 7


@given(st.lists(st.one_of(st.binary(max_size=3), st.none()), max_size=12))
def test_nothing_is_lost_and_the_order_stays(steps: list[bytes | None]) -> None:
    async def play() -> list[bytes]:
        recorded, transport = joined()
        for step in steps:
            if step is None:
                await asyncio.sleep(0)
            else:
                transport.write(step)
        await asyncio.sleep(0)
        return recorded.writes

    assert b"".join(asyncio.run(play())) == b"".join(step for step in steps if step is not None)
