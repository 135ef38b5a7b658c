"""Lua scripts in ``stores/lua``, run by their hash and sent only where Redis does not know them."""

import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

import redis

from stores.connect import command, translated


class Scripts:
    """The scripts of a store, on its connection."""

    def __init__(self, client: redis.Redis, names: Iterable[str], *, guarded: Iterable[str] = ()) -> None:
        """Read the scripts of these names; those that are ``guarded`` use the functions of ``guard.lua``."""
        self._client = client
        self._known = {name: read_script(name) for name in names} | {
            name: read_script("guard", name) for name in guarded
        }

    def run(self, name: str, script_keys: Sequence[str], values: Sequence[str | bytes | int]) -> Any:
        """Run one; what its keys and values are is said in the script.

        Raises:
            UnavailableError: if Redis did not answer.
        """
        text, sha = self._known[name]
        with translated(f"run {name}"):
            try:
                return command(self._client, "EVALSHA", sha, len(script_keys), *script_keys, *values)
            except redis.exceptions.NoScriptError:
                return command(self._client, "EVAL", text, len(script_keys), *script_keys, *values)


def read_script(*names: str) -> tuple[str, str]:
    """Text of scripts, one behind the other, and its SHA-1 (hex), by which Redis knows it."""
    folder = resources.files("stores").joinpath("lua")
    text = "".join(folder.joinpath(f"{name}.lua").read_text(encoding="utf-8") for name in names)
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
