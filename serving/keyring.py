"""Keys that seal tokens: a small JSON file that only its owner may read, with rotation."""

import base64
import binascii
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts import SettingsError

KEY_BYTES = 32
KEPT_AFTER_ROTATION_MS = 30 * 24 * 3_600_000

_FORMAT = 1
_MAX_KEY_ID = 255


@dataclass(frozen=True, slots=True)
class SealingKey:
    """One AES-256 key; tokens sealed with it open until ``not_after_ms`` (None: no end is set yet)."""

    key_id: int
    secret: bytes
    created_ms: int
    not_after_ms: int | None = None

    def opens_at(self, now_ms: int) -> bool:
        """Tell whether tokens of this key are still opened."""
        return self.not_after_ms is None or now_ms < self.not_after_ms


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys by id; the newest seals, all that have not ended open."""

    keys: Mapping[int, SealingKey]

    @property
    def sealing(self) -> SealingKey:
        """The key that seals new tokens."""
        return max(self.keys.values(), key=lambda key: (key.created_ms, key.key_id))

    def rotated(self, now_ms: int, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> "KeyRing":
        """A ring with a new sealing key; older keys open for 30 days more, ended ones are dropped.

        Raises:
            SettingsError: if all 255 key ids are in use.
        """
        kept = {
            key.key_id: key
            if key.not_after_ms is not None
            else SealingKey(key.key_id, key.secret, key.created_ms, now_ms + KEPT_AFTER_ROTATION_MS)
            for key in self.keys.values()
            if key.opens_at(now_ms)
        }
        newest = self.sealing.key_id
        free = [n for n in ((newest + step) % (_MAX_KEY_ID + 1) for step in range(1, _MAX_KEY_ID + 1)) if n not in kept]
        if not free:
            message = f"the key ring holds {len(kept)} keys: wait until the oldest ends before rotating again"
            raise SettingsError(message)
        created = max(now_ms, self.sealing.created_ms + 1)
        return KeyRing(kept | {free[0]: SealingKey(free[0], random_bytes(KEY_BYTES), created)})


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
    """Give the ring file a new sealing key.

    Raises:
        SettingsError: if the file is damaged, or all key ids are in use.
    """
    ring = ensure_keyring(path, now_ms).rotated(now_ms)
    save_keyring(path, ring)
    return ring
