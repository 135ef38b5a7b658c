import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import (
    TokenError,
    TokenPayload,
    arms_bytes,
    arms_that_fit,
    decode_payload,
    encode_payload,
    new_decision_id,
)
from contracts.token import MAX_PAYLOAD_BYTES
from tests.contracts.strategies import payloads

GOOD = TokenPayload(
    new_decision_id(1_700_000_000_000),
    "user",
    "item",
    "category",
    "arm",
    "creative",
    "top",
    "linucb",
    ("arm", "other"),
    0.5,
    7,
    b"\x01\x00" * 15,
    "hash",
    "main",
    "https://shop.example/item?x=1",
)


@given(payloads())
def test_round_trip(payload: TokenPayload) -> None:
    assert decode_payload(encode_payload(payload)) == payload


def test_decision_time_comes_from_the_id() -> None:
    assert GOOD.decision_ms == 1_700_000_000_000


@given(st.integers(0, len(encode_payload(GOOD)) - 1))
def test_cut_off_payloads_are_refused(size: int) -> None:
    with pytest.raises(TokenError):
        decode_payload(encode_payload(GOOD)[:size])


@given(st.integers(0, len(encode_payload(GOOD)) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_read_or_refused_but_never_crashes(at: int, flip: int) -> None:
    damaged = bytearray(encode_payload(GOOD))
    damaged[at] ^= flip
    try:
        found = decode_payload(bytes(damaged))
    except TokenError:
        return
    assert found != GOOD


@given(st.binary(max_size=300))
def test_other_bytes_are_read_or_refused_but_never_crash(data: bytes) -> None:
    try:
        decode_payload(data)
    except TokenError:
        pass


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(TokenError, match="should end"):
        decode_payload(encode_payload(GOOD) + b"\x00")


def test_too_long_payloads_are_refused() -> None:
    longest = MAX_PAYLOAD_BYTES - len(encode_payload(GOOD._replace(landing_url="")))
    assert decode_payload(encode_payload(GOOD._replace(landing_url="x" * longest)))
    for size in (longest + 1, 70_000):
        with pytest.raises(TokenError, match="shorten the landing URL"):
            encode_payload(GOOD._replace(landing_url="x" * size))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=300).map(tuple))
def test_the_arms_that_fit_are_the_first_and_as_many_as_fit(arms: tuple[str, ...]) -> None:
    fitting = arms_that_fit(arms, GOOD)
    assert fitting == arms[: len(fitting)]
    size = len(encode_payload(GOOD._replace(eligible=fitting)))
    assert size - len(encode_payload(GOOD._replace(eligible=()))) == arms_bytes(fitting)
    if fitting != arms:
        with pytest.raises(TokenError):
            encode_payload(GOOD._replace(eligible=arms[: len(fitting) + 1]))


def test_no_arm_fits_where_the_rest_is_too_long() -> None:
    assert arms_that_fit(("oak",), GOOD._replace(landing_url="x" * MAX_PAYLOAD_BYTES)) == ()
