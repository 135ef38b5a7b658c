"""Statistics, packs and watermarks of one lineage in Redis; every write is a compare-and-set (design, ideas 5-8)."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
import redis.asyncio

from contracts import ORIGIN, LineageError, LineageSettings, Position, keys
from stores.connect import command, command_async, pipeline, transaction, translated
from stores.lineages import LineageState
from stores.scripts import Scripts

NEVER = -1

_LISTEN_S = 60.0
_SCRIPTS = ("put_deltas", "close", "changes", "put_pack", "raise_field", "tally", "begin_lineage")
_COUNT = "n:"
_FINGERPRINT = "fingerprint"
_LOW_WATERMARK = "low_watermark_ms"
_THROUGH = b"through"
_CLOSED_FACTS = b"closed_facts"


@dataclass(frozen=True, slots=True)
class Delta:
    """Statistics of one (window, shard), whole: ``version`` facts, ``blob`` as in docs/formats.md."""

    window: int
    shard: int
    version: int
    blob: bytes


@dataclass(frozen=True, slots=True)
class CategoryState:
    """A category as stored: ``through`` (ms, -1 never closed), ``deltas`` field -> (version, blob)."""

    through: int = NEVER
    generation: int = 0
    base: bytes | None = None
    deltas: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing has been counted."""
        return self.base is None and not self.deltas


@dataclass(frozen=True, slots=True)
class CategoryFacts:
    """How many facts a category has counted: in closed windows, and in open ones."""

    closed: int
    open: int
    through: int

    @property
    def total(self) -> int:
        """All facts counted."""
        return self.closed + self.open


class StatisticsStore:
    """One lineage's record in Redis; safe for any number of learners at once.

    Every method may raise ``UnavailableError``.
    """

    def __init__(self, client: redis.Redis, lineage: str, *, run_id: str = "") -> None:
        """Use ``client`` (replies as bytes) for lineage ``lineage``.

        With a ``run_id``, writes of statistics and of the low watermark raise ``LineageError`` once Redis is another
        process than that.
        """
        self._client = client
        self._run_id = run_id
        self.lineage = lineage
        self._scripts = Scripts(client, _SCRIPTS)

    def begin(self, settings: LineageSettings, *, replay_to_ms: int | None = None) -> None:
        """Register the lineage with its settings, or check them against those it was begun with.

        With ``replay_to_ms`` it is one that a replay builds up to that time, or has begun to. Without, it is served
        if none is.

        Raises:
            LineageError: if it was begun with other settings, for another purpose, or is retired.
        """
        wanted = LineageState.FOLLOWING if replay_to_ms is None else LineageState.REPLAYING
        target = "" if replay_to_ms is None else str(replay_to_ms)
        script_keys = [keys.lineage(self.lineage), keys.LINEAGES, keys.ACTIVE_LINEAGE]
        values = [self.lineage, settings.fingerprint(), wanted, target]
        stored, state, replayed_to = (
            found.decode() for found in self._scripts.run("begin_lineage", script_keys, values)
        )
        if state == LineageState.RETIRED:
            message = f"lineage {self.lineage!r} is retired: choose another lineage id"
            raise LineageError(message)
        settings.require_same(self.lineage, stored)
        if replay_to_ms is None and state == LineageState.REPLAYING:
            message = (
                f"lineage {self.lineage!r} is being replayed up to {replayed_to}: let `backdrop replay` finish first"
            )
            raise LineageError(message)
        if replay_to_ms is not None and (state, replayed_to) != (LineageState.REPLAYING, target):
            what = f"is {state}" if state != LineageState.REPLAYING else f"is being replayed up to {replayed_to}"
            message = (
                f"lineage {self.lineage!r} exists and {what}, not to be replayed up to {target}: choose another id"
            )
            raise LineageError(message)

    def settings(self) -> LineageSettings:
        """The settings that the lineage was begun with.

        Raises:
            LineageError: if there is no such lineage.
        """
        with translated("read a lineage"):
            stored = command(self._client, "HGET", keys.lineage(self.lineage), _FINGERPRINT)
        if stored is None:
            message = f"lineage {self.lineage!r} does not exist: start a learner for it, or check the id"
            raise LineageError(message)
        return LineageSettings(**json.loads(stored))

    def run_id(self) -> str:
        """Identity of the Redis process: another one may hold an older dataset."""
        with translated("read Redis' run id"):
            info: Mapping[str, Any] = command(self._client, "INFO", "server")
        return str(info["run_id"])

    def low_watermark(self) -> int:
        """Log time (ms) up to which everything is folded, published and, where due, closed; -1 if none yet."""
        with translated("read the low watermark"):
            stored = command(self._client, "HGET", keys.lineage(self.lineage), _LOW_WATERMARK)
        return NEVER if stored is None else int(stored)

    def raise_low_watermark(self, watermark_ms: int) -> int:
        """Let the low watermark rise to ``watermark_ms``, never fall; returns what it is now.

        Raises:
            LineageError: if Redis is another process than at the start: it may have lost what was published, and a
                learner that starts again from a watermark raised now would not read that.
        """
        values: list[str | bytes | int] = [self._run_id, _LOW_WATERMARK, watermark_ms]
        answer, found = self._scripts.run("raise_field", [keys.lineage(self.lineage)], values)
        self._require_same_run(answer, found)
        return int(found)

    def categories(self) -> tuple[str, ...]:
        """Categories with statistics, ascending."""
        with translated("read the categories"):
            found = command(self._client, "SMEMBERS", keys.lineage_categories(self.lineage))
        return tuple(sorted(name.decode() for name in found))

    def put_deltas(self, category: str, deltas: Sequence[Delta]) -> int:
        """Store those deltas whose version is higher and whose window is open; returns the category's ``through``.

        Each one taken raises the generation by one.

        Raises:
            LineageError: if Redis is another process than at the start.
        """
        with translated("register a category"):
            command(self._client, "SADD", keys.lineage_categories(self.lineage), category)
        values: list[str | bytes | int] = [self._run_id]
        for delta in deltas:
            name = keys.delta_field(delta.window, delta.shard)
            values += [name, delta.window, delta.version, delta.blob]
        taken, through = self._scripts.run("put_deltas", self._keys(category)[:3], values)
        self._require_same_run(taken, through)
        return int(through)

    def close(self, category: str, *, seen: int, through: int, facts: int, base: bytes) -> bool:
        """Replace the base by one of all windows up to ``through`` and drop their deltas, iff ``seen`` still holds.

        ``seen`` is the ``through`` that the new base was computed from; False means it is no longer that.

        Raises:
            LineageError: if Redis is another process than at the start.
        """
        done, found = self._scripts.run("close", self._keys(category), [self._run_id, seen, through, facts, base])
        self._require_same_run(done, found)
        return bool(done)

    def state(self, category: str, held: CategoryState | None = None) -> CategoryState:
        """The category as it is at one instant; blobs equal to those in ``held`` are taken from there."""
        known = held or CategoryState()
        values: list[str | bytes | int] = [known.through if known.base is not None else "none"]
        for name, (version, _) in known.deltas.items():
            values += [name, version]
        through, generation, base, kept, changed = self._scripts.run("changes", self._keys(category), values)
        deltas = {name.decode(): known.deltas[name.decode()] for name in kept}
        for at in range(0, len(changed), 3):
            deltas[changed[at].decode()] = (int(changed[at + 1]), changed[at + 2])
        unchanged = known.base is not None and int(through) == known.through
        return CategoryState(int(through), int(generation), known.base if unchanged else base, deltas)

    def put_pack(self, category: str, generation: int, pack: bytes) -> bool:
        """Store a pack iff its generation is higher, and announce it."""
        message = json.dumps({"lineage": self.lineage, "category": category, "generation": generation})
        values: list[str | bytes | int] = [generation, pack, keys.MODELS_CHANNEL, message]
        return bool(self._scripts.run("put_pack", [keys.pack(category, self.lineage)], values))

    def put_seed(self, category: str, blob: bytes) -> None:
        """Store statistics lent by another lineage (docs/formats.md); the generation rises, so a pack with them can."""
        with translated("write a seed"):
            command(self._client, "SADD", keys.lineage_categories(self.lineage), category)
            transaction(
                self._client,
                [
                    ("SET", keys.seed(category, self.lineage), blob),
                    ("INCR", keys.generation(category, self.lineage)),
                ],
            )

    def seed(self, category: str) -> bytes | None:
        """Statistics lent by another lineage, or None."""
        with translated("read a seed"):
            found: bytes | None = command(self._client, "GET", keys.seed(category, self.lineage))
        return found

    def facts(self) -> dict[str, CategoryFacts]:
        """Facts counted by category, exact: they are read from the versions of what is stored."""
        categories = self.categories()
        with translated("read the versions"):
            found = pipeline(self._client, [("HGETALL", keys.versions(name, self.lineage)) for name in categories])
        return {name: _facts(versions) for name, versions in zip(categories, found, strict=True)}

    def put_status(self, status: Mapping[str, str | int | float]) -> None:
        """Replace the learner's status (absolute values)."""
        words: list[str | int | float] = [item for pair in status.items() for item in pair]
        name = keys.lineage_status(self.lineage)
        with translated("write the learner's status"):
            transaction(self._client, [("DEL", name), ("HSET", name, *words)])

    def status(self) -> dict[str, str]:
        """The learner's status as last written; empty if there is none."""
        with translated("read the learner's status"):
            found = command(self._client, "HGETALL", keys.lineage_status(self.lineage))
        return {name.decode(): value.decode() for name, value in found.items()}

    def tally_mark(self, partition: int) -> Position:
        """Position up to which a partition's entries have been counted in the tally."""
        with translated("read the tally"):
            stored = command(self._client, "HGET", keys.lineage_tally(self.lineage), f"mark:{partition}")
        return ORIGIN if stored is None else Position.parse(stored.decode())

    def count_entries(self, partition: int, entries: Sequence[tuple[Position, Mapping[str, int]]]) -> None:
        """Add what log entries held, by name; each position once, however often it is read. Entries are in order."""
        values: list[str | bytes | int] = [partition, len(entries)]
        for position, counts in entries:
            values += [position.append_ms, position.sequence, len(counts)]
            values += [word for pair in counts.items() for word in pair]
        self._scripts.run("tally", [keys.lineage_tally(self.lineage)], values)

    def tally(self) -> dict[str, int]:
        """Facts read so far by name (``counting``, or why they were dropped), each log position once."""
        with translated("read the tally"):
            found = command(self._client, "HGETALL", keys.lineage_tally(self.lineage))
        return {
            name.decode().removeprefix(_COUNT): int(count)
            for name, count in found.items()
            if name.startswith(_COUNT.encode())
        }

    def _keys(self, category: str) -> list[str]:
        return [name(category, self.lineage) for name in (keys.versions, keys.deltas, keys.generation, keys.base)]

    def _require_same_run(self, answer: int, found: bytes) -> None:
        if answer < 0:
            message = (
                f"Redis runs as {found.decode()}, it was {self._run_id} when this learner started: "
                "it may hold an older dataset, so start again from the stored low watermark"
            )
            raise LineageError(message)


class AsyncPackStore:
    """What serving reads: the active lineage and its packs."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """Use ``client`` (replies as bytes)."""
        self._client = client

    async def active_lineage(self) -> str | None:
        """The lineage served, or None if none is."""
        with translated("read the active lineage"):
            found = await command_async(self._client, "GET", keys.ACTIVE_LINEAGE)
        return None if found is None else str(found.decode())

    async def categories(self, lineage: str) -> tuple[str, ...]:
        """Categories that the lineage has statistics of, ascending."""
        with translated("read the categories"):
            found = await command_async(self._client, "SMEMBERS", keys.lineage_categories(lineage))
        return tuple(sorted(name.decode() for name in found))

    async def get_pack(self, category: str, lineage: str, newer_than: int = NEVER) -> bytes | None:
        """A category's pack, if there is one of a generation above ``newer_than``."""
        name = keys.pack(category, lineage)
        with translated("read a pack"):
            generation = await command_async(self._client, "HGET", name, "generation")
            if generation is None or int(generation) <= newer_than:
                return None
            blob: bytes | None = await command_async(self._client, "HGET", name, "blob")
        return blob

    async def subscribe(self) -> AsyncGenerator[Mapping[str, Any], None]:
        """Announcements of new packs: ``lineage``, ``category``, ``generation``; ends only with an error."""
        with translated("subscribe to new packs"):
            async with self._client.pubsub() as channel:
                await channel.subscribe(keys.MODELS_CHANNEL)
                while True:
                    message = await channel.get_message(ignore_subscribe_messages=True, timeout=_LISTEN_S)
                    if message is not None:
                        announced: Mapping[str, Any] = json.loads(message["data"])
                        yield announced


def _facts(versions: Mapping[bytes, bytes]) -> CategoryFacts:
    plain = {_THROUGH, _CLOSED_FACTS}
    return CategoryFacts(
        closed=int(versions.get(_CLOSED_FACTS, 0)),
        open=sum(int(count) for name, count in versions.items() if name not in plain),
        through=int(versions.get(_THROUGH, NEVER)),
    )
