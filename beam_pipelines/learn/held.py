"""Decoded state in memory, beside the runner's own: once a process, however many copies of a stage Beam makes."""

import secrets
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

_TOKEN_BYTES = 16


class Sized(Protocol):
    """A state that knows its memory."""

    @property
    def nbytes(self) -> int:
        """Memory of its arrays."""
        ...


State = TypeVar("State", bound=Sized)


class Held(Generic[State]):
    """States by key, each with the token that it was written under.

    The token is in the runner's state, too: it tells whether memory is still the same after a bundle was retried or
    another worker has had the key.
    """

    def __init__(self) -> None:
        self._states: dict[bytes, tuple[bytes, State]] = {}
        with _all_held_lock:
            _all_held.add(self)

    @property
    def nbytes(self) -> int:
        """Memory of all states."""
        return sum(state.nbytes for _, state in list(self._states.values()))

    def get(self, key: bytes, token: bytes) -> State | None:
        """The state written under this token, or None if another was, or none."""
        held = self._states.get(key)
        return held[1] if held is not None and held[0] == token else None

    def put(self, key: bytes, state: State) -> bytes:
        """Hold a state; returns its token, which the caller must write."""
        token = secrets.token_bytes(_TOKEN_BYTES)
        self._states[key] = (token, state)
        return token

    def drop(self, is_gone: Callable[[bytes], bool]) -> None:
        """Let go of the states of keys of which ``is_gone`` holds."""
        for key in list(self._states):
            if is_gone(key):
                self._states.pop(key, None)


# What this process's stages hold is asked for from outside them.
_all_held: "WeakSet[Held[Any]]" = WeakSet()
_all_held_lock = threading.Lock()


def held_bytes() -> int:
    """Memory of the decoded states in this process; 0 where the stages run in another."""
    with _all_held_lock:
        all_held = list(_all_held)
    return sum(held.nbytes for held in all_held)
