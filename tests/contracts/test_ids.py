import uuid
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import (
    InvalidInputError,
    check_name,
    check_user,
    decision_ms,
    decision_ms_of,
    id_text,
    is_decision_id,
    new_decision_id,
    new_decision_ids,
    shard_of,
    window_of,
)

times = st.integers(0, (1 << 48) - 1)
seeds = st.binary(min_size=10, max_size=10)


@st.composite
def decision_ids(draw: st.DrawFn) -> bytes:
    seed = draw(seeds)
    return new_decision_id(draw(times), lambda count: seed[:count])


def test_ids_made_together_are_those_made_one_by_one() -> None:
    drawn = bytes(range(30))
    tails = [drawn[:10], drawn[10:20], drawn[20:]]
    together = new_decision_ids(1_700_000_000_000, 3, lambda size: drawn[:size])
    assert together == [new_decision_id(1_700_000_000_000, BytesIO(tail).read) for tail in tails]
    assert len(set(new_decision_ids(1, 1000))) == 1000


@given(st.binary(min_size=16, max_size=16))
def test_an_ids_text_is_the_uuids(value: bytes) -> None:
    assert id_text(value) == str(uuid.UUID(bytes=value))


@given(times, seeds)
def test_a_decision_id_is_a_uuid7_of_its_time(now_ms: int, seed: bytes) -> None:
    made = new_decision_id(now_ms, lambda count: seed[:count])
    assert is_decision_id(made)
    assert decision_ms(made) == now_ms
    assert decision_ms_of(np.frombuffer(made, np.uint8).reshape(1, 16)).tolist() == [now_ms]


def test_known_decision_id() -> None:
    assert new_decision_id(0x0123456789AB, lambda count: b"\xff" * count).hex() == "0123456789ab7fffbfffffffffffffff"


def test_decision_ids_differ_and_sort_by_time() -> None:
    made = [new_decision_id(now_ms) for now_ms in range(1000) for _ in range(3)]
    assert len(set(made)) == len(made)
    assert [decision_ms(each) for each in sorted(made)] == sorted(decision_ms(each) for each in made)


@pytest.mark.parametrize("now_ms", [-1, 1 << 48])
def test_times_outside_48_bits_are_refused(now_ms: int) -> None:
    with pytest.raises(InvalidInputError, match=r"48|outside"):
        new_decision_id(now_ms)


@given(st.binary(max_size=20))
def test_other_bytes_are_no_decision_id(value: bytes) -> None:
    if is_decision_id(value):
        assert (len(value), value[6] >> 4, value[8] >> 6) == (16, 7, 2)


@given(st.lists(decision_ids(), min_size=1, max_size=30), st.integers(1, 1024))
def test_shards_are_in_range_and_depend_on_the_id_alone(made: list[bytes], shards: int) -> None:
    ids = np.frombuffer(b"".join(made), np.uint8).reshape(-1, 16)
    found = shard_of(ids, shards)
    assert ((found >= 0) & (found < shards)).all()
    oracle = [(int.from_bytes(each[8:], "big") * 0x9E3779B97F4A7C15 % 2**64 >> 32) % shards for each in made]
    assert found.tolist() == oracle
    assert shard_of(ids[::-1], shards).tolist() == oracle[::-1]


def test_shards_are_even() -> None:
    ids = np.frombuffer(b"".join(new_decision_id(1) for _ in range(8000)), np.uint8).reshape(-1, 16)
    assert np.bincount(shard_of(ids, 8), minlength=8).min() > 800


@given(st.lists(times, min_size=1), st.integers(1, 10**9))
def test_windows_hold_their_times(moments: list[int], window_ms: int) -> None:
    starts = window_of(np.array(moments, dtype=np.int64), window_ms)
    for moment, start in zip(moments, starts.tolist(), strict=True):
        assert start % window_ms == 0
        assert start <= moment < start + window_ms


@pytest.mark.parametrize("name", ["a", "A-1_b.c~d@e+f", "стул", "x" * 128])
def test_good_names_pass(name: str) -> None:
    assert check_name("item", name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "a:b", "{a}", "a\n", "x" * 129, "a*", "\ud800"])
def test_bad_names_are_refused_with_their_value(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"item .* is not a valid name"):
        check_name("item", name)


@pytest.mark.parametrize("user", ["u", "ann lee", "☃", "x" * 256])
def test_good_users_pass(user: str) -> None:
    assert check_user(user) == user


@pytest.mark.parametrize("user", ["", "x" * 257, "a\nb", "a\x00", "\ud800"])
def test_bad_users_are_refused(user: str) -> None:
    with pytest.raises(InvalidInputError, match=r"user .* is not valid"):
        check_user(user)
