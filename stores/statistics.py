"""Statistics, packs and watermarks of one lineage in Redis; every write is a compare-and-set (design, ideas 5-8)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import redis

from contracts import ORIGIN, LineageError, LineageSettings, Position, keys
from stores.connect import command, pipeline, transaction, translated
from stores.dataset import Dataset
from stores.lineages import LineageState
from stores.scripts import Scripts

NEVER = -1

_SCRIPTS = ("begin_lineage", "changes", "tally")
_GUARDED = ("put_deltas", "close", "put_pack", "raise_field")
_OTHER_PROCESS, _OTHER_EPOCH = -1, -2
_COUNT = "n:"
_FINGERPRINT = "fingerprint"
_EPOCH = "epoch"
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

    def __init__(self, client: redis.Redis, lineage: str, *, dataset: Dataset | None = None) -> None:
        """Use ``client`` (replies as bytes) for lineage ``lineage``.

        With a ``dataset``, writes of statistics, packs and of the low watermark raise ``LineageError`` once Redis holds
        another than that, and nothing is written.
        """
        self._client = client
        self._dataset = dataset
        self.lineage = lineage
        self._scripts = Scripts(client, _SCRIPTS, guarded=_GUARDED)

    def begin(self, settings: LineageSettings, *, replay_to_ms: int | None = None) -> None:
        """Register the lineage with its settings, or check them against those it was begun with.

        With ``replay_to_ms`` it is one that a replay builds up to that time, or has begun to. Without, it is served
        if none is.

        Raises:
            LineageError: if it was begun with other settings, for another purpose, or is retired.
        """
        with translated("begin a lineage"):
            if command(self._client, "HGET", keys.lineage(self.lineage), _FINGERPRINT) is None:
                # What a writer of an emptied Redis left behind it would pass for this record's.
                command(self._client, "DEL", keys.lineage_categories(self.lineage))
                command(self._client, "DEL", keys.lineage_tally(self.lineage))
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

    def dataset(self) -> Dataset | None:
        """Identity of the lineage's record, or None if it has none."""
        with translated("read the lineage's dataset"):
            info, epoch = transaction(self._client, [("INFO", "server"), ("HGET", keys.lineage(self.lineage), _EPOCH)])
        return None if epoch is None else Dataset(str(info["run_id"]), int(epoch))

    def low_watermark(self) -> int:
        """Log time (ms) up to which everything is folded, published and, where due, closed; -1 if none yet."""
        with translated("read the low watermark"):
            stored = command(self._client, "HGET", keys.lineage(self.lineage), _LOW_WATERMARK)
        return NEVER if stored is None else int(stored)

    def raise_low_watermark(self, watermark_ms: int) -> int:
        """Let the low watermark rise to ``watermark_ms``, never fall; returns what it is now.

        Raises:
            LineageError: if it is another dataset than at the start: it may have lost what was published, and a
                learner that starts again from a watermark raised now would not read that.
        """
        _, found = self._write("raise_field", [keys.lineage(self.lineage)], [_LOW_WATERMARK, watermark_ms])
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
            LineageError: if it is another dataset than at the start.
        """
        with translated("register a category"):
            epoch, _ = pipeline(
                self._client,
                [
                    ("HGET", keys.lineage(self.lineage), _EPOCH),
                    ("SADD", keys.lineage_categories(self.lineage), category),
                ],
            )
        if self._dataset is not None:
            # The script looks at the category alone: one that is new there would be taken for the new record's.
            self._dataset.require_same(None if epoch is None else replace(self._dataset, epoch=int(epoch)))
        values: list[str | bytes | int] = []
        for delta in deltas:
            name = keys.delta_field(delta.window, delta.shard)
            values += [name, delta.window, delta.version, delta.blob]
        _, through = self._write("put_deltas", self._keys(category), values)
        return int(through)

    def close(self, category: str, *, seen: int, through: int, facts: int, base: bytes) -> bool:
        """Replace the base by one of all windows up to ``through`` and drop their deltas, iff ``seen`` still holds.

        ``seen`` is the ``through`` that the new base was computed from; False means it is no longer that.

        Raises:
            LineageError: if it is another dataset than at the start.
        """
        done, _ = self._write("close", self._keys(category), [seen, through, facts, base])
        return bool(done)

    def state(self, category: str, held: CategoryState | None = None) -> CategoryState:
        """The category as it is at one instant; blobs equal to those in ``held`` are taken from there."""
        known = held or CategoryState()
        values: list[str | bytes | int] = [known.through if known.base is not None else "none"]
        for name, (version, _) in known.deltas.items():
            values += [name, version]
        through, generation, base, kept, changed = self._scripts.run("changes", self._keys(category)[:4], values)
        deltas = {name.decode(): known.deltas[name.decode()] for name in kept}
        for at in range(0, len(changed), 3):
            deltas[changed[at].decode()] = (int(changed[at + 1]), changed[at + 2])
        unchanged = known.base is not None and int(through) == known.through
        return CategoryState(int(through), int(generation), known.base if unchanged else base, deltas)

    def put_pack(self, category: str, generation: int, pack: bytes) -> bool:
        """Store a pack iff its generation is higher, and announce it.

        Raises:
            LineageError: if it is another dataset than at the start: its generations may be far below this one.
        """
        message = json.dumps({"lineage": self.lineage, "category": category, "generation": generation})
        taken, _ = self._write("put_pack", self._keys(category), [generation, pack, keys.MODELS_CHANNEL, message])
        return bool(taken)

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
        names = (keys.versions, keys.deltas, keys.generation, keys.base, keys.pack)
        return [name(category, self.lineage) for name in names]

    def _write(self, name: str, script_keys: Sequence[str], values: Sequence[str | bytes | int]) -> Any:
        known = self._dataset
        guard: list[str | bytes | int] = ["", ""] if known is None else [known.run_id, known.epoch]
        answer = self._scripts.run(name, script_keys, [*guard, *values])
        if known is not None and answer[0] == _OTHER_PROCESS:
            known.require_same(replace(known, run_id=answer[1].decode()))
        if known is not None and answer[0] == _OTHER_EPOCH:
            known.require_same(replace(known, epoch=int(answer[1])) if answer[1] else None)
        return answer


def _facts(versions: Mapping[bytes, bytes]) -> CategoryFacts:
    plain = {_THROUGH, _CLOSED_FACTS, _EPOCH.encode()}
    return CategoryFacts(
        closed=int(versions.get(_CLOSED_FACTS, 0)),
        open=sum(int(count) for name, count in versions.items() if name not in plain),
        through=int(versions.get(_THROUGH, NEVER)),
    )
