"""Keys that seal tokens: a small JSON file that only its owner may read, with rotation."""

import base64
import binascii
import fcntl
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from contracts import Clock, SettingsError

KEY_BYTES = 32
KEPT_AFTER_ROTATION_MS = 30 * 24 * 3_600_000
# A new key opens at once and seals only then: by that time every server that reads the ring can open what it seals.
SETTLE_MS = 5_000

_log = structlog.get_logger("serving.keyring")

_FORMAT = 1
_MAX_KEY_ID = 255


@dataclass(frozen=True, slots=True)
class SealingKey:
    """One AES-256 key; tokens sealed with it open until ``not_after_ms`` (None: no end is set yet).

    A ``revoked`` key opens nothing; it stays in the ring until ``not_after_ms``, so that its tokens are told from
    forged ones and its id is not used again.
    """

    key_id: int
    secret: bytes
    created_ms: int
    not_after_ms: int | None = None
    revoked: bool = False

    def opens_at(self, now_ms: int) -> bool:
        """Tell whether tokens of this key are still opened."""
        return not self.revoked and self.kept_at(now_ms)

    def kept_at(self, now_ms: int) -> bool:
        """Tell whether the key stays in the ring."""
        return self.not_after_ms is None or now_ms < self.not_after_ms


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys by id; all that have not ended open, one of them seals."""

    keys: Mapping[int, SealingKey]

    @property
    def newest(self) -> SealingKey:
        """The key that seals, now or soon."""
        return max(self.keys.values(), key=_age_order)

    def sealing_at(self, now_ms: int) -> SealingKey:
        """The key that seals new tokens: the newest that is known everywhere; the oldest if none is yet."""
        opening = [key for key in self.keys.values() if key.opens_at(now_ms)]
        settled = [key for key in opening if key.created_ms + SETTLE_MS <= now_ms]
        return max(settled, key=_age_order) if settled else min(opening, key=_age_order)

    def rotated(self, now_ms: int, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> "KeyRing":
        """A ring with a new sealing key; older keys open for 30 days more, ended ones are dropped.

        Raises:
            SettingsError: if all 255 key ids are in use.
        """
        kept = {
            key.key_id: key
            if key.not_after_ms is not None
            else replace(key, not_after_ms=now_ms + KEPT_AFTER_ROTATION_MS)
            for key in self.keys.values()
            if key.kept_at(now_ms)
        }
        newest = self.newest.key_id
        free = [n for n in ((newest + step) % (_MAX_KEY_ID + 1) for step in range(1, _MAX_KEY_ID + 1)) if n not in kept]
        if not free:
            message = f"the key ring holds {len(kept)} keys: wait until the oldest ends before rotating again"
            raise SettingsError(message)
        created = max(now_ms, self.newest.created_ms + 1)
        return KeyRing(kept | {free[0]: SealingKey(free[0], random_bytes(KEY_BYTES), created)})

    def revoked(
        self, key_ids: Iterable[int], now_ms: int, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> "KeyRing":
        """A ring in which these keys open and seal nothing; with a new one if that takes the newest.

        Raises:
            SettingsError: if there is no such key, or all key ids are in use.
        """
        gone = set(key_ids)
        if unknown := sorted(gone - self.keys.keys()):
            message = f"no key {unknown[0]} in the ring: it has {', '.join(map(str, sorted(self.keys)))}"
            raise SettingsError(message)
        ring = self.rotated(now_ms, random_bytes) if self.newest.key_id in gone else self
        end_ms = now_ms + KEPT_AFTER_ROTATION_MS
        return KeyRing(
            {
                key_id: replace(key, revoked=True, not_after_ms=end_ms) if key_id in gone and not key.revoked else key
                for key_id, key in ring.keys.items()
            }
        )


def _age_order(key: SealingKey) -> tuple[int, int]:
    return key.created_ms, key.key_id


def new_keyring(now_ms: int, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> KeyRing:
    """Make a ring of one fresh key."""
    return KeyRing({1: SealingKey(1, random_bytes(KEY_BYTES), now_ms)})


def load_keyring(path: Path) -> KeyRing:
    """Read a key ring file.

    Raises:
        SettingsError: if it cannot be read, is damaged, or other users may read it.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        message = f"key ring {path} cannot be read ({error}): restore it, or remove it to start with a new one"
        raise SettingsError(message) from error
    if mode & 0o077:
        message = f"key ring {path} has mode {mode:04o}: others may read it, run chmod 600 on it"
        raise SettingsError(message)
    try:
        if document["version"] != _FORMAT:
            message = f"key ring {path} has version {document['version']!r}, this version reads {_FORMAT}"
            raise SettingsError(message)
        keys = [
            SealingKey(
                int(entry["id"]),
                base64.b64decode(entry["key"], validate=True),
                int(entry["created_ms"]),
                None if entry["not_after_ms"] is None else int(entry["not_after_ms"]),
                bool(entry.get("revoked", False)),
            )
            for entry in document["keys"]
        ]
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        message = f"key ring {path} is damaged ({error!r}): restore it, or remove it to start with a new one"
        raise SettingsError(message) from error
    if not keys or any(len(key.secret) != KEY_BYTES or not 0 <= key.key_id <= _MAX_KEY_ID for key in keys):
        message = f"key ring {path} needs at least one key, each of {KEY_BYTES} bytes with an id from 0 to 255"
        raise SettingsError(message)
    return KeyRing({key.key_id: key for key in keys})


def save_keyring(path: Path, ring: KeyRing, *, replace: bool = True) -> bool:
    """Write a key ring file (mode 0600) in one step; returns False if ``replace`` is off and there is one."""
    document = {
        "version": _FORMAT,
        "keys": [
            {
                "id": key.key_id,
                "key": base64.b64encode(key.secret).decode(),
                "created_ms": key.created_ms,
                "not_after_ms": key.not_after_ms,
                "revoked": key.revoked,
            }
            for key in sorted(ring.keys.values(), key=lambda key: key.created_ms)
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".keyring-")
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(temporary).replace(path)
            return True
        try:
            # A link fails where the file exists, so that of several starting servers only one makes the ring.
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        return True
    finally:
        Path(temporary).unlink(missing_ok=True)


def ensure_keyring(path: Path, now_ms: int) -> KeyRing:
    """Read the key ring file, made on the spot if absent (safe with several servers starting at once).

    Raises:
        SettingsError: if the file is damaged or others may read it.
    """
    if not path.exists():
        save_keyring(path, new_keyring(now_ms), replace=False)
    return load_keyring(path)


def rotate_keyring(path: Path, now_ms: int) -> KeyRing:
    """Give the ring file a new sealing key; two at once are two rotations, one after the other.

    Raises:
        SettingsError: if the file is damaged, or all key ids are in use.
    """
    return _change(path, lambda: ensure_keyring(path, now_ms).rotated(now_ms))


def revoke_keys(path: Path, key_ids: Iterable[int], now_ms: int) -> KeyRing:
    """End keys of the ring file at once: their tokens neither count nor lead anywhere from then on.

    Raises:
        SettingsError: if the file cannot be read, holds no such key, or all key ids are in use.
    """
    return _change(path, lambda: load_keyring(path).revoked(key_ids, now_ms))


def _change(path: Path, change: Callable[[], KeyRing]) -> KeyRing:
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # On the folder: the file itself is replaced, and a lock would go with the old one.
        fcntl.flock(folder, fcntl.LOCK_EX)
        ring = change()
        save_keyring(path, ring)
    finally:
        os.close(folder)
    return ring


class KeyRingWatch:
    """Hands the ring on when its file changed, and once more when a new key has settled."""

    def __init__(self, path: Path, ring: KeyRing, clock: Clock, use: Callable[[KeyRing], None]) -> None:
        """``ring`` is what is in use, as read from ``path``."""
        self._path = path
        self._ring = ring
        self._clock = clock
        self._use = use
        # What the ring was read from is not known: the first round reads it again.
        self._seen: tuple[int, int, int] | None = None
        self._sealing_id = ring.sealing_at(clock.now_ms()).key_id

    async def refresh(self) -> None:
        """Look once; a ring that cannot be read leaves the last good one in use.

        Raises:
            SettingsError: saying what is wrong with the file.
        """
        ring = self._ring
        if (seen := self._stamp()) != self._seen:
            ring, self._seen = load_keyring(self._path), seen
        sealing_id = ring.sealing_at(self._clock.now_ms()).key_id
        if ring != self._ring or sealing_id != self._sealing_id:
            self._use(ring)
            _log.info("keys_taken_up", keys=len(ring.keys), sealing=sealing_id)
        self._ring, self._sealing_id = ring, sealing_id

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            message = f"key ring {self._path} cannot be read ({error}): put it back"
            raise SettingsError(message) from error
        return found.st_mtime_ns, found.st_ino, found.st_size
