from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contracts import (
    CountKey,
    FormatError,
    PackBlob,
    StatisticsBlob,
    decode_pack,
    decode_statistics,
    encode_pack,
    encode_statistics,
    packed_length,
)
from tests.contracts.strategies import LONG, NAMES

finite = st.floats(allow_nan=False, width=64)
counts = st.dictionaries(st.tuples(NAMES, NAMES, NAMES), st.tuples(finite, finite), max_size=4)


@st.composite
def statistics(draw: st.DrawFn) -> StatisticsBlob:
    arms = tuple(draw(st.lists(NAMES, unique=True, max_size=4)))
    d = draw(st.integers(1, 5))

    def array(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return draw(hnp.arrays(np.float64, shape, elements=finite))

    return StatisticsBlob(
        lineage=draw(NAMES),
        schema_hash=draw(NAMES),
        version=draw(LONG),
        window=draw(LONG),
        shard=draw(st.integers(-1, 1024)),
        through=draw(LONG),
        arms=arms,
        n=array(len(arms)),
        reward=array(len(arms)),
        gram=array(len(arms), packed_length(d)),
        moment=array(len(arms), d),
        counts=draw(counts),
    )


@st.composite
def packs(draw: st.DrawFn) -> PackBlob:
    arms = tuple(draw(st.lists(NAMES, unique=True, max_size=4)))
    d = draw(st.integers(1, 5))
    single = st.floats(allow_nan=False, width=32)
    return PackBlob(
        lineage=draw(NAMES),
        schema_hash=draw(NAMES),
        generation=draw(LONG),
        alpha=draw(finite),
        ridge=draw(finite),
        arms=arms,
        theta=draw(hnp.arrays(np.float32, (len(arms), d), elements=single)),
        inverse=draw(hnp.arrays(np.float32, (len(arms), packed_length(d)), elements=single)),
    )


def sample(order: tuple[int, ...] = (0, 1)) -> StatisticsBlob:
    pick = list(order)
    keys: list[CountKey] = [("linucb", "a", "top"), ("random", "b", "top")]
    return StatisticsBlob(
        "main",
        "hash",
        5,
        300_000,
        2,
        -1,
        tuple(np.array(["a", "b"])[pick].tolist()),
        np.array([1.0, 2.0])[pick],
        np.array([0.0, 1.0])[pick],
        np.arange(6.0).reshape(2, 3)[pick],
        np.arange(4.0).reshape(2, 2)[pick],
        {keys[i]: (float(i + 1), 0.0) for i in order},
    )


@given(statistics())
def test_statistics_round_trip_bit_for_bit(blob: StatisticsBlob) -> None:
    found = decode_statistics(encode_statistics(blob))
    order = sorted(range(len(blob.arms)), key=blob.arms.__getitem__)
    assert found.arms == tuple(sorted(blob.arms))
    for name in ("n", "reward", "gram", "moment"):
        assert getattr(found, name).tobytes() == getattr(blob, name)[order].tobytes()
        assert getattr(found, name).shape == getattr(blob, name).shape
    for name in ("lineage", "schema_hash", "version", "window", "shard", "through"):
        assert getattr(found, name) == getattr(blob, name)
    assert dict(found.counts) == dict(blob.counts)


@given(packs())
def test_packs_round_trip_bit_for_bit(blob: PackBlob) -> None:
    found = decode_pack(encode_pack(blob))
    for name in ("theta", "inverse"):
        assert getattr(found, name).tobytes() == getattr(blob, name).tobytes()
        assert getattr(found, name).dtype == np.float32
    for name in ("lineage", "schema_hash", "generation", "alpha", "ridge", "arms"):
        assert getattr(found, name) == getattr(blob, name)


def test_equal_statistics_give_equal_bytes_in_any_order_of_arms() -> None:
    assert encode_statistics(sample((0, 1))) == encode_statistics(sample((1, 0)))


PACK = PackBlob("main", "hash", 3, 0.1, 1.0, ("a",), np.ones((1, 2), np.float32), np.ones((1, 3), np.float32))
BLOBS = [(encode_statistics(sample()), decode_statistics), (encode_pack(PACK), decode_pack)]


@pytest.mark.parametrize(("blob", "decode"), BLOBS, ids=["statistics", "pack"])
@given(data=st.data())
def test_damaged_blobs_are_read_or_refused_but_never_crash(
    blob: bytes, decode: Callable[[bytes], object], data: st.DataObject
) -> None:
    damaged = bytearray(blob)
    damaged[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decode(bytes(damaged))
    except FormatError:
        pass
    with pytest.raises(FormatError):
        decode(blob[: data.draw(st.integers(0, len(blob) - 1))])


@pytest.mark.parametrize(("blob", "decode"), [(BLOBS[0][0], decode_pack), (BLOBS[1][0], decode_statistics)])
def test_a_blob_of_another_kind_is_refused(blob: bytes, decode: Callable[[bytes], object]) -> None:
    with pytest.raises(FormatError):
        decode(blob)


@pytest.mark.parametrize(("d", "entries"), [(1, 1), (2, 3), (32, 528)])
def test_packed_length(d: int, entries: int) -> None:
    assert packed_length(d) == entries
