"""Samples for the shadow: what is written is read, and no more is kept than may be."""

import dataclasses
import math

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from contracts import FormatError, InvalidInputError, keys
from stores import AsyncShadowStream, EmbeddedRedis, SampledRow, ShadowSample, connect_async
from stores.connect import command
from stores.shadow import MAX_SAMPLES

numbers = st.one_of(st.integers(-(2**63), 2**63).map(float), st.floats(allow_nan=False))
rows = st.builds(
    SampledRow,
    st.lists(st.tuples(st.integers(0, 63), numbers), max_size=4).map(tuple),
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=2).map(tuple),
    st.lists(st.one_of(st.integers(-(2**70), 2**70), st.just(-math.inf)), max_size=2).map(tuple),
    st.integers(0, 9),
)


@st.composite
def samples(draw: st.DrawFn) -> ShadowSample:
    items = tuple(draw(st.lists(st.text(max_size=5), max_size=3)))
    found = tuple(draw(rows) for _ in range(len(items) + 2))
    return ShadowSample(draw(st.text(max_size=5)), items, draw(st.text(max_size=5)), "plan", "schema", found)


SAMPLE = ShadowSample("ann", ("lamp",), "top", "p", "s", (SampledRow((), (), (), 0),) * 3)


@given(samples())
def test_json_round_trip(sample: ShadowSample) -> None:
    again = ShadowSample.from_json(sample.to_json())
    assert again == sample
    assert [entity for _, entity, _ in again.asked()] == [sample.user, sample.placement, *sample.items]


@given(st.binary(max_size=50))
def test_damage_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        ShadowSample.from_json(data)


def test_other_versions_missing_rows_and_long_samples_are_refused() -> None:
    data = SAMPLE.to_json()
    with pytest.raises(FormatError, match="version 2"):
        ShadowSample.from_json(data.replace(b'"version":1', b'"version":2'))
    with pytest.raises(FormatError, match="3 rows for 2 items"):
        ShadowSample.from_json(data.replace(b'["lamp"]', b'["lamp","sofa"]'))
    with pytest.raises(InvalidInputError, match="the limit is 65536"):
        dataclasses.replace(SAMPLE, user="x" * 70_000).to_json()


async def test_the_stream_hands_on_what_comes_and_forgets_the_old(
    redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    client = connect_async(redis_server.url, timeout_s=5)
    stream = AsyncShadowStream(client)
    assert await stream.last() == "0-0"
    assert await stream.read("0-0", count=10, wait_ms=1) == []
    await stream.append([b"a", b"b"])
    first, second = await stream.read("0-0", count=10, wait_ms=1)
    assert (first[1], second[1]) == (b"a", b"b")
    assert await stream.read(first[0], count=10, wait_ms=1) == [second]
    assert await stream.last() == second[0]
    for _ in range(10):
        await stream.append([b"c"] * MAX_SAMPLES)
    assert MAX_SAMPLES <= command(redis_client, "XLEN", keys.SHADOW) < 2 * MAX_SAMPLES
    await client.aclose()
