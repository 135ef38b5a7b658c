"""The lineages there are and what each is for: replaying, following, active, previous, retired (design, idea 10)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import redis

from contracts import LineageError, LineageSettings, keys
from stores.connect import command, pipeline, translated
from stores.scripts import Scripts

_FIELDS = ("fingerprint", "low_watermark_ms", "replay_to_ms")


class LineageState(StrEnum):
    """What a lineage is for.

    ``replaying``: a replay builds it. ``following``: a learner may keep it up to date, it is not served. ``active``:
    it is served. ``previous``: it was served before, and is kept up to date for a rollback. ``retired``: given up.
    """

    REPLAYING = "replaying"
    FOLLOWING = "following"
    ACTIVE = "active"
    PREVIOUS = "previous"
    RETIRED = "retired"

    @property
    def holds_log(self) -> bool:
        """Whether the log is kept from its restart position on.

        A replay reads the archive anyway, and all that is trimmed is archived.
        """
        return self not in (LineageState.REPLAYING, LineageState.RETIRED)


@dataclass(frozen=True, slots=True)
class Lineage:
    """One lineage as stored.

    ``low_watermark_ms`` is -1 if it has none yet; ``replay_to_ms`` the time as of which a replay built or builds it,
    None if a learner began it.
    """

    id: str
    state: LineageState
    settings: LineageSettings
    low_watermark_ms: int
    replay_to_ms: int | None = None

    @property
    def restart_ms(self) -> int:
        """Append time from which its learner would read if it started now; 0 is the log's beginning."""
        return 0 if self.low_watermark_ms < 0 else max(0, self.settings.restart_ms(self.low_watermark_ms))


@dataclass(frozen=True, slots=True)
class Move:
    """A change of state that was made: at ``at_ms`` of Redis' clock, ``why`` is the command."""

    at_ms: int
    lineage: str
    before: LineageState
    after: LineageState
    why: str


class LineageStore:
    """The registry; every change is a compare-and-set. Every method may raise ``UnavailableError``."""

    def __init__(self, client: redis.Redis) -> None:
        """Use ``client`` (replies as bytes)."""
        self._client = client
        self._scripts = Scripts(client, ("move_lineages",))

    def states(self) -> dict[str, LineageState]:
        """State of each lineage, by id, ascending."""
        with translated("read the lineages"):
            found = command(self._client, "HGETALL", keys.LINEAGES)
        return {name.decode(): LineageState(state.decode()) for name, state in sorted(found.items())}

    def all(self) -> tuple[Lineage, ...]:
        """All lineages, ascending by id."""
        states = self.states()
        with translated("read the lineages"):
            found = pipeline(self._client, [("HMGET", keys.lineage(name), *_FIELDS) for name in states])
        return tuple(
            Lineage(
                name,
                state,
                LineageSettings(**json.loads(fingerprint)),
                -1 if low is None else int(low),
                None if target is None else int(target),
            )
            for (name, state), (fingerprint, low, target) in zip(states.items(), found, strict=True)
        )

    def active(self) -> str | None:
        """The lineage served, or None if none is."""
        with translated("read the active lineage"):
            found = command(self._client, "GET", keys.ACTIVE_LINEAGE)
        return None if found is None else str(found.decode())

    def promote(self, lineage: str) -> str | None:
        """Serve a lineage that is followed; returns the one served before, which becomes ``previous``.

        Raises:
            LineageError: if it is not ``following``, or the promotion before is neither confirmed nor rolled back.
        """
        states = self.states()
        found = states.get(lineage)
        if found is not LineageState.FOLLOWING:
            message = f"lineage {lineage!r} {_words(found)}: only one that is followed and not served can be promoted"
            raise LineageError(message)
        previous = _one_in(states, LineageState.PREVIOUS)
        if previous is not None:
            message = (
                f"lineage {previous!r} is still kept for a rollback: `backdrop confirm` or `backdrop rollback` first, "
                f"then promote {lineage!r}"
            )
            raise LineageError(message)
        active = _one_in(states, LineageState.ACTIVE)
        moves = {lineage: (LineageState.FOLLOWING, LineageState.ACTIVE)}
        if active is not None:
            moves[active] = (LineageState.ACTIVE, LineageState.PREVIOUS)
        self._move("promote", moves, serve=lineage)
        return active

    def rollback(self) -> tuple[str, str]:
        """Serve the previous lineage again; the other is followed on. Returns (served now, served before).

        Raises:
            LineageError: if there is no previous lineage.
        """
        active, previous = self._pair("roll back to")
        moves = {
            previous: (LineageState.PREVIOUS, LineageState.ACTIVE),
            active: (LineageState.ACTIVE, LineageState.FOLLOWING),
        }
        self._move("rollback", moves, serve=previous)
        return previous, active

    def confirm(self) -> str:
        """Retire the previous lineage, so that it no longer holds the log; returns it.

        Raises:
            LineageError: if there is no previous lineage.
        """
        _, previous = self._pair("retire")
        self._move("confirm", {previous: (LineageState.PREVIOUS, LineageState.RETIRED)})
        return previous

    def retire(self, lineage: str) -> None:
        """Give up a lineage that is not served; it cannot be taken up again.

        Raises:
            LineageError: if it does not exist, is served, is kept for a rollback or is retired already.
        """
        state = self.states().get(lineage)
        if state not in (LineageState.REPLAYING, LineageState.FOLLOWING):
            message = (
                f"lineage {lineage!r} {_words(state)}: only one that is replaying or following can be retired"
                " (one kept for a rollback: `backdrop confirm`)"
            )
            raise LineageError(message)
        self._move("retire", {lineage: (state, LineageState.RETIRED)})

    def finish_replay(self, lineage: str) -> None:
        """Say that the replay of a lineage is done: it can be followed.

        Raises:
            LineageError: if it is not being replayed.
        """
        self._move("replay", {lineage: (LineageState.REPLAYING, LineageState.FOLLOWING)})

    def history(self) -> tuple[Move, ...]:
        """The last thousand changes of state, oldest first."""
        with translated("read the lineages' history"):
            found = command(self._client, "LRANGE", keys.LINEAGE_HISTORY, 0, -1)
        notes = [json.loads(note) for note in found]
        return tuple(
            Move(note["at_ms"], note["lineage"], LineageState(note["from"]), LineageState(note["to"]), note["why"])
            for note in notes
        )

    def _pair(self, doing: str) -> tuple[str, str]:
        states = self.states()
        active, previous = _one_in(states, LineageState.ACTIVE), _one_in(states, LineageState.PREVIOUS)
        if active is None or previous is None:
            message = f"there is no previous lineage to {doing}: {active!r} is served and no promotion is open"
            raise LineageError(message)
        return active, previous

    def _move(self, why: str, moves: Mapping[str, tuple[LineageState, LineageState]], *, serve: str = "") -> None:
        values = [word for lineage, (before, after) in moves.items() for word in (lineage, before, after)]
        script_keys = [keys.LINEAGES, keys.ACTIVE_LINEAGE, keys.LINEAGE_HISTORY]
        done, lineage, found = self._scripts.run("move_lineages", script_keys, [why, serve, *values])
        if not done:
            name = lineage.decode()
            state = LineageState(found.decode()) if found else None
            message = f"lineage {name!r} {_words(state)}, no longer {moves[name][0]}: nothing was changed, look again"
            raise LineageError(message)


def _one_in(states: Mapping[str, LineageState], wanted: LineageState) -> str | None:
    return next((name for name, state in states.items() if state is wanted), None)


def _words(state: LineageState | None) -> str:
    return "does not exist" if state is None else f"is {state}"
