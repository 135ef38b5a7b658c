"""Whether an environment already holds what a profile's lock asks for."""

import hashlib
import json
import os
from collections.abc import Mapping

from backdrop.setup.layout import Layout
from backdrop.setup.pins import UV_VERSION, Profile


def profile_key(layout: Layout, profile: Profile, python_version: str) -> str:
    """Return a hash of all that decides what is installed: lock, packaging, version, uv and Python."""
    digest = hashlib.sha256()
    for path in (
        layout.packages(profile.name),
        layout.root / "setup.py",
        layout.root / "backdrop" / "version.py",
    ):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(f"{UV_VERSION} {python_version} {profile.warm}".encode())
    return digest.hexdigest()


def read_stamps(layout: Layout) -> Mapping[str, str]:
    """Return the stored keys by profile; an absent or damaged file holds none."""
    try:
        stored = json.loads(layout.stamps.read_text())
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def write_stamp(layout: Layout, profile: Profile, key: str) -> None:
    """Store a profile's key beside the others, in one rename."""
    beside = layout.stamps.with_suffix(".new")
    beside.write_text(json.dumps({**read_stamps(layout), profile.name: key}, indent=1))
    os.replace(beside, layout.stamps)


def is_profile_current(layout: Layout, profile: Profile, python_version: str) -> bool:
    """Return whether this profile was installed from the very files that the checkout holds now."""
    return (
        not layout.installing.exists()
        and layout.python.exists()
        and read_stamps(layout).get(profile.name) == profile_key(layout, profile, python_version)
    )
