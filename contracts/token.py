"""What a decision seals into its token: all that learning, evaluation and redirecting need (design, idea 3)."""

import struct
from functools import lru_cache
from typing import NamedTuple

from contracts.errors import TokenError
from contracts.ids import decision_ms, is_decision_id

PAYLOAD_FORMAT = 1
MAX_PAYLOAD_BYTES = 4096
_MEMO = 4096

_HEAD = struct.Struct("<B16sfqHH")
_LENGTH = struct.Struct("<H")


class TokenPayload(NamedTuple):
    """One decision. ``context`` is little-endian int16[d]; ``landing_url`` is where a click goes ("" if nowhere)."""

    decision_id: bytes
    user: str
    item: str
    category: str
    arm: str
    creative: str
    placement: str
    policy: str
    eligible: tuple[str, ...]
    propensity: float
    generation: int
    context: bytes
    schema_hash: str
    lineage: str
    landing_url: str

    @property
    def decision_ms(self) -> int:
        """Decision time in milliseconds, from the id."""
        return decision_ms(self.decision_id)


_TEXTS = (
    "user",
    "item",
    "category",
    "arm",
    "creative",
    "placement",
    "policy",
    "schema_hash",
    "lineage",
    "landing_url",
)


def encode_payload(payload: TokenPayload) -> bytes:
    """Write a payload as bytes, to be sealed.

    Raises:
        TokenError: if it is longer than ``MAX_PAYLOAD_BYTES``.
    """
    encoded = _without_arms(payload) + _words(payload.eligible)
    if len(encoded) > MAX_PAYLOAD_BYTES:
        message = f"token payload has {len(encoded)} bytes, the limit is {MAX_PAYLOAD_BYTES}: shorten the landing URL"
        raise TokenError(message)
    return encoded


@lru_cache(maxsize=_MEMO)
def arms_bytes(arms: tuple[str, ...]) -> int:
    """How many bytes of a payload these eligible arms take."""
    return sum(_LENGTH.size + len(arm.encode()) for arm in arms)


def arms_that_fit(arms: tuple[str, ...], payload: TokenPayload) -> tuple[str, ...]:
    """The first of ``arms`` that ``payload`` has room for, whatever its own eligible arms are."""
    room = MAX_PAYLOAD_BYTES - len(_without_arms(payload))
    for place, arm in enumerate(arms):
        room -= _LENGTH.size + len(arm.encode())
        if room < 0:
            return arms[:place]
    return arms


def _without_arms(p: TokenPayload) -> bytes:
    head = _HEAD.pack(PAYLOAD_FORMAT, p.decision_id, p.propensity, p.generation, len(p.eligible), len(p.context))
    # In the order of _TEXTS; the words are the same for many decisions.
    return b"".join(
        (
            head,
            p.context,
            _text(p.user),
            _text(p.item),
            _word(p.category),
            _word(p.arm),
            _text(p.creative),
            _word(p.placement),
            _word(p.policy),
            _word(p.schema_hash),
            _word(p.lineage),
            _text(p.landing_url),
        )
    )


def _text(text: str) -> bytes:
    data = text.encode()
    return _LENGTH.pack(len(data) & 0xFFFF) + data


_word = lru_cache(maxsize=_MEMO)(_text)


@lru_cache(maxsize=_MEMO)
def _words(texts: tuple[str, ...]) -> bytes:
    return b"".join(map(_text, texts))


def decode_payload(data: bytes) -> TokenPayload:
    """Read what ``encode_payload`` wrote.

    Raises:
        TokenError: if the bytes are not exactly one payload of this format.
    """
    try:
        version, decision_id, propensity, generation, arms, context_bytes = _HEAD.unpack_from(data)
        if version != PAYLOAD_FORMAT or not is_decision_id(decision_id):
            message = f"token payload has format {version}, this version reads {PAYLOAD_FORMAT}"
            raise TokenError(message)
        at = _HEAD.size + context_bytes
        context = data[_HEAD.size : at]
        texts: list[str] = []
        for _ in range(len(_TEXTS) + arms):
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size + length
            texts.append(data[at - length : at].decode())
    except (struct.error, UnicodeDecodeError) as error:
        message = f"token payload of {len(data)} bytes is damaged"
        raise TokenError(message) from error
    if at != len(data):
        message = f"token payload of {len(data)} bytes should end at {at}"
        raise TokenError(message)
    named = dict(zip(_TEXTS, texts[: len(_TEXTS)], strict=True))
    return TokenPayload(
        decision_id=decision_id,
        propensity=propensity,
        generation=generation,
        eligible=tuple(texts[len(_TEXTS) :]),
        context=context,
        **named,
    )
