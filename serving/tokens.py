"""Tokens: a decision's payload sealed with AES-GCM into URL-safe text that only the server can open."""

import base64
import binascii
import os
import re
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts import Clock, TokenError, TokenPayload, decode_payload, encode_payload
from contracts.token import MAX_PAYLOAD_BYTES
from serving.keyring import KEY_BYTES, KeyRing

NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES
MAX_TOKEN_CHARS = -(-(MAX_PAYLOAD_BYTES + OVERHEAD_BYTES) * 4 // 3)

_MIN_TOKEN_CHARS = OVERHEAD_BYTES * 4 // 3
_ALPHABET = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_REFUSED = "token is not one of ours: forged, altered, cut short, or sealed with a key that is no longer kept"


class RevokedKeyError(TokenError):
    """A token is one of ours, sealed with a key that was revoked; callers are told what those of forged ones are."""


class TokenSealer:
    """Seals and opens tokens with a key ring: key id (1 byte), nonce (12), ciphertext, tag (16), in base64url."""

    def __init__(self, ring: KeyRing, clock: Clock, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        """Prepare the ciphers of every key of ``ring``."""
        self._clock = clock
        self._random_bytes = random_bytes
        self.use(ring)
        # Tokens that name a key we do not have are checked against this one, so that they fail
        # in the same way, after the same work, as those with a wrong tag.
        self._decoy = AESGCM(random_bytes(KEY_BYTES))

    def use(self, ring: KeyRing) -> None:
        """Seal and open with the keys of ``ring`` from now on."""
        self._keys = ring.keys
        self._ciphers = {key_id: AESGCM(key.secret) for key_id, key in ring.keys.items()}
        self._sealing_id = ring.sealing_at(self._clock.now_ms()).key_id

    def seal(self, payload: TokenPayload) -> str:
        """Seal a payload; two seals of one payload differ.

        Raises:
            TokenError: if the payload is too long.
        """
        key_id = bytes([self._sealing_id])
        nonce = self._random_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._sealing_id].encrypt(nonce, encode_payload(payload), key_id)
        return base64.urlsafe_b64encode(key_id + nonce + sealed).rstrip(b"=").decode("ascii")

    def open(self, token: str) -> TokenPayload:
        """Open a token; every failure reads the same.

        Raises:
            TokenError: if this server, or another with its ring, did not seal exactly this text.
            RevokedKeyError: if it did, with a key that was revoked since.
        """
        data = _decode(token)
        key_id = data[0]
        key = self._keys.get(key_id)
        # A revoked key's are opened, too, to count them apart from forged ones.
        usable = key is not None and (key.revoked or key.opens_at(self._clock.now_ms()))
        cipher = self._ciphers[key_id] if usable else self._decoy
        try:
            payload = cipher.decrypt(data[1 : 1 + NONCE_BYTES], data[1 + NONCE_BYTES :], data[:1])
        except InvalidTag:
            raise TokenError(_REFUSED) from None
        if key is not None and key.revoked:
            raise RevokedKeyError(_REFUSED)
        return decode_payload(payload)


def _decode(token: str) -> bytes:
    if not _MIN_TOKEN_CHARS <= len(token) <= MAX_TOKEN_CHARS or _ALPHABET.fullmatch(token) is None:
        raise TokenError(_REFUSED)
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        raise TokenError(_REFUSED) from None
    # Base64 has several spellings of the same bytes (spare bits of the last character): only ours is taken.
    if len(data) <= OVERHEAD_BYTES or base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != token:
        raise TokenError(_REFUSED)
    return data
