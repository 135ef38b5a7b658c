"""The online reader: everything a decision needs from Redis in one round trip, decoded by a compiled plan."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from contracts import ContextSchema, CreativeRef, ReadPlan, SettingsError
from stores.creative_index import decode_index, index_fields, index_request
from stores.feast_rows import NOTHING, DecodedRow, assemble, compile_entity
from stores.feast_values import Value
from stores.memo import Memo
from stores.round_trip import Reply, Wire

_NANOS_PER_MS = 1_000_000
# Replies that all items share come first: user, placement.
_SHARED = 2


class OnlineRow(NamedTuple):
    """What one read brought back, for n items and the schema's f features.

    ``raw`` (n, f) values and codes, NaN where there is none; ``present`` (n, f) whether there is a value;
    ``stale`` (n, f) whether it is older than its view's TTL. ``texts`` by reference and ``creatives`` by arm,
    one mapping an item; ``stale_texts`` (n) whether any of an item's texts is older than its view's TTL.
    ``damaged`` counts stored values that could not be decoded and were left out. ``also`` holds the replies to
    the commands that were sent along. ``sources`` are the rows of user, placement and each item that all this was put
    together from.
    """

    raw: NDArray[np.float64]
    present: NDArray[np.bool_]
    stale: NDArray[np.bool_]
    texts: tuple[Mapping[str, str], ...]
    creatives: tuple[Mapping[str, CreativeRef], ...]
    user_known: bool
    stale_texts: tuple[bool, ...] = ()
    damaged: int = 0
    also: tuple[Reply, ...] = ()
    sources: tuple[DecodedRow, ...] = ()

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Present and not stale (n, f): what ``ContextSchema.encode`` is given."""
        return self.present & ~self.stale


class OnlineReader:
    """Reads features of a user, items and a placement, and the items' creatives, as a plan and a schema say.

    ``client`` must return bytes. Nothing read is kept between calls.

    Raises:
        SettingsError: if the plan lacks a feature of the schema.
    """

    def __init__(self, plan: ReadPlan, schema: ContextSchema, client: redis.asyncio.Redis) -> None:
        """Lay out the reads."""
        missing = sorted(set(schema.features) - set(plan.references))
        if missing:
            message = f"read plan lacks the features {missing} of context schema {schema.hash}: compile it again"
            raise SettingsError(message)
        self._wire = Wire(client)
        self._creatives = Memo(decode_index)
        self._features = schema.features
        columns = {name: index for index, name in enumerate(schema.features)}
        readers = {
            entity.role: compile_entity(entity, plan.project, columns, schema, frozenset(plan.item_texts))
            for entity in plan.entities
        }
        self._readers = readers
        self._shared = (readers.get("user"), readers.get("placement"))
        self._item = readers.get("item")

    async def read(
        self, user: str, items: Sequence[str], placement: str, now_ms: int, also: Sequence[bytes] = ()
    ) -> OnlineRow:
        """Read all that a decision on ``items`` needs; ages are as of ``now_ms``.

        ``also`` are packed read commands that go along in the same round trip.

        Raises:
            UnavailableError: if Redis does not answer.
            StoreError: if Redis refuses a command.
        """
        replies = await self._replies(user, items, placement, also)
        behind, end = _SHARED + len(items), _SHARED + 2 * len(items)
        users, placements = self._shared
        shared = (
            NOTHING if users is None else users.decode.one(replies[0]),
            NOTHING if placements is None else placements.decode.one(replies[1]),
        )
        decoded = [NOTHING] * len(items) if self._item is None else self._item.decode(replies[_SHARED:behind])
        creatives = self._creatives(map(index_fields, replies[behind:end]))
        return online_row(shared, decoded, creatives, replies[end:], len(self._features), now_ms)

    async def values(self, user: str, items: Sequence[str], placement: str) -> list[dict[str, Value]]:
        """Every planned feature of each item's decision as the Feast SDK would return it, whatever its age.

        Raises:
            UnavailableError: if Redis does not answer.
            StoreError: if Redis refuses a command.
            FormatError: if a stored value cannot be decoded.
        """
        replies = await self._replies(user, items, placement)
        common: dict[str, Value] = {}
        for reader, reply in zip(self._shared, replies, strict=False):
            if reader is not None:
                common |= reader.values(reply)
        if self._item is None:
            return [dict(common) for _ in items]
        return [{**common, **self._item.values(reply)} for reply in replies[_SHARED : _SHARED + len(items)]]

    async def row(self, role: str, entity: str) -> DecodedRow:
        """What is stored of one entity.

        Raises:
            UnavailableError: if Redis does not answer.
            StoreError: if Redis refuses a command.
        """
        reader = self._readers.get(role)
        request = None if reader is None else reader.request(entity)
        if reader is None or request is None:
            return NOTHING
        return reader.decode.one((await self._wire.ask([request], "read features"))[0])

    async def replies(self, user: str, items: Sequence[str], placement: str) -> list[Reply]:
        """What Redis answers, as it comes: user, placement, each item, each item's creative index.

        Ids that cannot be keys, and roles that the plan has no features of, are left out.

        Raises:
            UnavailableError: if Redis does not answer.
            StoreError: if Redis refuses a command.
        """
        asked = [request for request in self._commands(user, items, placement) if request is not None]
        return await self._wire.ask(asked, "read features")

    async def _replies(
        self, user: str, items: Sequence[str], placement: str, also: Sequence[bytes] = ()
    ) -> list[Reply]:
        """As ``replies``, with an empty reply for what could not be asked for."""
        packed = self._commands(user, items, placement)
        packed += also
        asked = [request for request in packed if request is not None]
        replies = await self._wire.ask(asked, "read features")
        if len(asked) == len(packed):
            return replies
        found = iter(replies)
        return [() if request is None else next(found) for request in packed]

    def _commands(self, user: str, items: Sequence[str], placement: str) -> list[bytes | None]:
        """Packed commands in one order always: user, placement, items, creative indexes."""
        users, placements = self._shared
        packed = [
            None if users is None else users.request(user),
            None if placements is None else placements.request(placement),
        ]
        ask = _nothing if self._item is None else self._item.request
        packed += [ask(item) for item in items]
        packed += [index_request(item, placement) for item in items]
        return packed


def _nothing(_: str) -> None:
    """The request where there is nothing to ask for."""


def online_row(
    shared: Sequence[DecodedRow],
    items: Sequence[DecodedRow],
    creatives: Sequence[tuple[Mapping[str, CreativeRef], int]],
    also: Sequence[Reply],
    width: int,
    now_ms: int,
) -> OnlineRow:
    """Put together what was read: ``shared`` are user and placement, ``creatives`` an item's, and how many were bad."""
    values, present, stale, texts, stale_texts, damaged = assemble(shared, items, width, now_ms * _NANOS_PER_MS)
    shape = (len(items), width)
    arms = []
    for found, broken in creatives:
        arms.append(found)
        damaged += broken
    return OnlineRow(
        np.ndarray(shape, np.float64, values),
        np.ndarray(shape, np.bool_, present),
        np.ndarray(shape, np.bool_, stale),
        tuple(texts),
        tuple(arms),
        shared[0].known,
        tuple(stale_texts),
        damaged,
        tuple(also),
        (*shared, *items),
    )
