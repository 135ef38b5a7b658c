import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import ManualClock, SettingsError, TokenError, TokenPayload, encode_payload, new_decision_id
from contracts.token import MAX_PAYLOAD_BYTES
from serving import (
    TokenSealer,
    ensure_keyring,
    load_keyring,
    new_keyring,
    revoke_keys,
    rotate_keyring,
    save_keyring,
)
from serving.keyring import KEPT_AFTER_ROTATION_MS, SETTLE_MS, KeyRingWatch
from serving.tokens import MAX_TOKEN_CHARS, RevokedKeyError

NOW = 1_700_000_000_000
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


PAYLOAD = TokenPayload(
    decision_id=new_decision_id(NOW),
    user="user-1",
    item="sofa-1",
    category="sofas",
    arm="oak-loft",
    creative="c" * 32,
    placement="story",
    policy="linucb",
    eligible=("oak-loft", "sand-beach"),
    propensity=0.5,
    generation=7,
    context=bytes(range(32)),
    schema_hash="0011223344556677",
    lineage="main",
    landing_url="https://shop.example/sofa-1",
)


def key_of(token: str) -> int:
    return base64.urlsafe_b64decode(token[:4])[0]


def a_sealer(clock: ManualClock | None = None) -> TokenSealer:
    return TokenSealer(new_keyring(NOW), clock or ManualClock(NOW))


@given(
    user=texts,
    landing=texts,
    eligible=st.lists(texts, max_size=20).map(tuple),
    context=st.binary(min_size=2, max_size=128).filter(lambda data: len(data) % 2 == 0),
    generation=st.integers(0, 2**62),
)
def test_what_is_sealed_is_what_opens(
    user: str, landing: str, eligible: tuple[str, ...], context: bytes, generation: int
) -> None:
    payload = PAYLOAD._replace(
        user=user, landing_url=landing, eligible=eligible, context=context, generation=generation
    )
    sealer = a_sealer()
    if len(encode_payload(payload)) <= MAX_PAYLOAD_BYTES:
        token = sealer.seal(payload)
        assert len(token) <= MAX_TOKEN_CHARS
        assert sealer.open(token) == payload


def test_changing_any_character_is_refused() -> None:
    sealer = a_sealer()
    token = sealer.seal(PAYLOAD)
    for place in range(len(token)):
        for other in ("A", "-", "9"):
            if token[place] != other:
                with pytest.raises(TokenError):
                    sealer.open(token[:place] + other + token[place + 1 :])


@given(st.data())
def test_flipping_any_bit_of_the_bytes_is_refused(data: st.DataObject) -> None:
    sealer = a_sealer()
    token = sealer.seal(PAYLOAD)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(TokenError):
        sealer.open(base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode())


@given(st.text(max_size=400) | st.text("ABCdef019-_", max_size=MAX_TOKEN_CHARS + 5))
def test_no_other_text_is_a_token(text: str) -> None:
    with pytest.raises(TokenError):
        a_sealer().open(text)


def test_every_failure_reads_the_same() -> None:
    sealer = a_sealer()
    token = sealer.seal(PAYLOAD)
    messages = set()
    for wrong in ("", "x", token[:-1], token + "A", "A" * 200, "B" + token[1:], token * 30, "ä" * 100):
        with pytest.raises(TokenError) as caught:
            sealer.open(wrong)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_the_last_character_has_one_spelling() -> None:
    # The spare bits of base64's last character change no byte, so that AES-GCM alone would not notice.
    sealer = a_sealer()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for user in ("a", "ab", "abc"):
        token = sealer.seal(PAYLOAD._replace(user=user))
        for last in alphabet:
            if last != token[-1]:
                with pytest.raises(TokenError):
                    sealer.open(token[:-1] + last)


def test_nothing_in_a_token_is_readable_and_no_two_are_equal() -> None:
    sealer = a_sealer()
    payload = PAYLOAD
    first, second = sealer.seal(payload), sealer.seal(payload)
    assert first != second
    raw = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4))
    for secret in (b"user-1", b"sofa-1", b"oak-loft", b"shop.example", payload.decision_id):
        assert secret not in raw


def test_another_ring_opens_nothing() -> None:
    with pytest.raises(TokenError):
        a_sealer().open(a_sealer().seal(PAYLOAD))


def test_too_long_a_payload_is_refused_by_name() -> None:
    with pytest.raises(TokenError, match="landing URL"):
        a_sealer().seal(PAYLOAD._replace(landing_url="https://x/" + "y" * MAX_PAYLOAD_BYTES))


def test_rotation_keeps_old_tokens_for_thirty_days(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    clock = ManualClock(NOW)
    old = TokenSealer(ensure_keyring(path, NOW), clock).seal(PAYLOAD)
    ring = rotate_keyring(path, NOW + 1000)
    clock.advance(1000 + SETTLE_MS)
    rotated = TokenSealer(ring, clock)
    new = rotated.seal(PAYLOAD)
    assert old[:2] != new[:2]
    clock.advance(KEPT_AFTER_ROTATION_MS - SETTLE_MS - 1)
    assert rotated.open(old).item == "sofa-1"
    clock.advance(1)
    with pytest.raises(TokenError):
        rotated.open(old)
    assert rotated.open(new).item == "sofa-1"
    assert len(rotate_keyring(path, clock.now_ms()).keys) == 2


def test_a_new_key_opens_at_once_and_seals_when_every_server_has_it() -> None:
    before = new_keyring(NOW)
    after = before.rotated(NOW + 60_000)
    clock = ManualClock(NOW + 60_000 + SETTLE_MS - 1)
    early = TokenSealer(after, clock).seal(PAYLOAD)
    # A server that has not read the new ring yet can open what those that have it seal.
    assert TokenSealer(before, clock).open(early).item == "sofa-1"
    clock.advance(1)
    late = TokenSealer(after, clock).seal(PAYLOAD)
    assert key_of(early) != key_of(late)
    with pytest.raises(TokenError):
        TokenSealer(before, clock).open(late)
    assert TokenSealer(after, clock).open(early).item == TokenSealer(after, clock).open(late).item == "sofa-1"


async def test_a_running_sealer_follows_the_ring_file(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys.json", ManualClock(NOW)
    ring = ensure_keyring(path, NOW)
    sealer = TokenSealer(ring, clock)
    watch = KeyRingWatch(path, ring, clock, sealer.use)
    old = sealer.seal(PAYLOAD)
    await watch.refresh()
    clock.advance(60_000)
    rotated = rotate_keyring(path, clock.now_ms())
    await watch.refresh()
    assert key_of(sealer.seal(PAYLOAD)) == key_of(old)
    clock.advance(SETTLE_MS)
    others = TokenSealer(rotated, clock).seal(PAYLOAD)
    assert sealer.open(others).item == "sofa-1"
    # The file has not changed since: the new key has settled.
    await watch.refresh()
    assert key_of(sealer.seal(PAYLOAD)) == key_of(others) != key_of(old)
    assert sealer.open(old).item == "sofa-1"
    path.write_text("{")
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"keys\.json"):
            await watch.refresh()
    path.unlink()
    with pytest.raises(SettingsError, match="put it back"):
        await watch.refresh()
    assert sealer.open(old).item == sealer.open(others).item == "sofa-1"
    save_keyring(path, rotated)
    await watch.refresh()


def test_rotating_twice_at_once_loses_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    ensure_keyring(path, NOW)
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda n: rotate_keyring(path, NOW + n), range(16)))
    found = load_keyring(path)
    assert len(found.keys) == 17
    for ring in rings:
        assert found.keys[ring.newest.key_id].secret == ring.newest.secret


def test_ring_can_be_rotated_on_and_on() -> None:
    ring = new_keyring(NOW)
    for day in range(1, 600):
        ring = ring.rotated(NOW + day * 24 * 3_600_000)
        assert len(ring.keys) <= 31
        assert all(0 <= key_id <= 255 for key_id in ring.keys)


def test_rotating_too_often_is_refused() -> None:
    ring = new_keyring(NOW)
    with pytest.raises(SettingsError, match="256 keys"):
        for _ in range(300):
            ring = ring.rotated(NOW)


def test_ring_file_is_private_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.json"
    ring = ensure_keyring(path, NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_keyring(path, NOW + 5) == ring
    assert not save_keyring(path, new_keyring(NOW), replace=False)
    assert load_keyring(path) == ring
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"version": 2, "keys": []}', '{"version": 1, "keys": []}', '{"version": 1, "keys": [{}]}',
     json.dumps({"version": 1, "keys": [{"id": 1, "key": "YWJj", "created_ms": 0, "not_after_ms": None}]})],
)  # fmt: skip
def test_damaged_ring_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match=r"keys\.json"):
        load_keyring(path)


def test_ring_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    ensure_keyring(path, NOW)
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        load_keyring(path)


def test_a_revoked_key_neither_opens_nor_seals_and_reads_like_any_other_refusal(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys.json", ManualClock(NOW)
    leaked = TokenSealer(ensure_keyring(path, NOW), clock)
    token = leaked.seal(PAYLOAD)
    forged = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    clock.advance(60_000)
    ring = revoke_keys(path, [1], clock.now_ms())
    assert load_keyring(path) == ring
    sealer = TokenSealer(ring, clock)
    # At once: no other key is known everywhere, and the leaked one must not seal for another moment.
    assert key_of(sealer.seal(PAYLOAD)) == ring.newest.key_id != 1
    assert sealer.open(sealer.seal(PAYLOAD)) == PAYLOAD
    with pytest.raises(RevokedKeyError) as revoked:
        sealer.open(token)
    with pytest.raises(TokenError) as refused:
        sealer.open(forged)
    assert not isinstance(refused.value, RevokedKeyError)
    assert str(revoked.value) == str(refused.value)


def test_a_revoked_keys_id_is_not_used_again_while_its_tokens_may_come() -> None:
    ring = new_keyring(NOW).revoked([1], NOW)
    for step in range(1, 250):
        ring = ring.rotated(NOW + step)
    assert ring.keys[1].revoked
    later = NOW + KEPT_AFTER_ROTATION_MS + 1
    assert 1 not in ring.rotated(later).keys


def test_an_old_key_is_revoked_and_the_newest_seals_on() -> None:
    ring = new_keyring(NOW).rotated(NOW + 1)
    after = ring.revoked([1], NOW + SETTLE_MS + 2)
    assert after.sealing_at(NOW + SETTLE_MS + 2) == ring.newest == after.newest
    assert sorted(after.keys) == [1, 2]
    assert after.revoked([1], NOW + SETTLE_MS + 9) == after
    everything = after.revoked([1, 2], NOW + SETTLE_MS + 10)
    assert [key.key_id for key in everything.keys.values() if key.opens_at(NOW + SETTLE_MS + 10)] == [3]
    with pytest.raises(SettingsError, match="no key 7 in the ring: it has 1, 2"):
        after.revoked([7], NOW)


async def test_a_running_sealer_follows_a_revocation(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys.json", ManualClock(NOW)
    ring = ensure_keyring(path, NOW)
    sealer = TokenSealer(ring, clock)
    watch = KeyRingWatch(path, ring, clock, sealer.use)
    token = sealer.seal(PAYLOAD)
    revoke_keys(path, [1], clock.now_ms())
    assert sealer.open(token) == PAYLOAD
    await watch.refresh()
    with pytest.raises(RevokedKeyError):
        sealer.open(token)
