"""The online reader: everything a decision needs from Redis in one round trip, decoded by a compiled plan."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from types import MappingProxyType

import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from contracts import ContextSchema, CreativeRef, FormatError, InvalidInputError, ReadPlan, SettingsError, keys
from stores.creative_index import decode_ref
from stores.feast_rows import EntityReader, Rows, compile_entity
from stores.feast_values import Value
from stores.round_trip import Reply, Wire

_MEMO = 8_192
_HGETALL = b"*2\r\n$7\r\nHGETALL\r\n$%d\r\n%b\r\n"


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """What one read brought back, for n items and the schema's f features.

    ``raw`` (n, f) values and codes, NaN where there is none; ``present`` (n, f) whether there is a value;
    ``stale`` (n, f) whether it is older than its view's TTL. ``texts`` by reference and ``creatives`` by arm,
    one mapping an item; ``stale_texts`` (n) whether any of an item's texts is older than its view's TTL.
    ``damaged`` counts stored values that could not be decoded and were left out. ``also`` holds the replies to
    the commands that were sent along.
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
        self._nothing = [math.nan] * len(schema.features)
        columns = {name: index for index, name in enumerate(schema.features)}
        readers = {
            entity.role: compile_entity(entity, plan.project, columns, schema, frozenset(plan.item_texts))
            for entity in plan.entities
        }
        self._user, self._item, self._placement = (readers.get(role) for role in ("user", "item", "placement"))

    async def read(
        self, user: str, items: Sequence[str], placement: str, now_ms: int, also: Sequence[bytes] = ()
    ) -> OnlineRow:
        """Read all that a decision on ``items`` needs; ages are as of ``now_ms``.

        ``also`` are packed read commands that go along in the same round trip.

        Raises:
            UnavailableError: if Redis does not answer.
            StoreError: if Redis refuses a command.
        """
        shared, per_item, rest = await self._fetch(user, items, placement, also)
        common = Rows(1, self._nothing, bytearray(len(self._nothing)))
        for reader, reply in zip((self._user, self._placement), shared, strict=True):
            if reader is not None:
                reader.decode(reply, now_ms, common, 0)
        rows = Rows(len(items), common.values, common.stale)
        if self._item is not None:
            for row, reply in enumerate(per_item):
                self._item.decode(reply, now_ms, rows, row)
        creatives = [_creatives(_flat(reply)) for reply in rest[: len(items)]]
        raw = np.array(rows.values, dtype=np.float64).reshape(len(items), len(self._nothing))
        present = ~np.isnan(raw)
        return OnlineRow(
            raw=raw,
            present=present,
            stale=np.frombuffer(rows.stale, dtype=np.bool_).reshape(raw.shape) & present,
            texts=tuple(rows.texts),
            creatives=tuple([arms for arms, _ in creatives]),
            user_known=self._user is not None and self._user.known(shared[0]),
            stale_texts=tuple(rows.stale_texts),
            damaged=common.damaged + rows.damaged + sum([damaged for _, damaged in creatives]),
            also=tuple(rest[len(items) :]),
        )

    async def values(self, user: str, items: Sequence[str], placement: str) -> list[dict[str, Value]]:
        """Every planned feature of each item's decision as the Feast SDK would return it, whatever its age.

        Raises:
            UnavailableError: if Redis does not answer.
            StoreError: if Redis refuses a command.
            FormatError: if a stored value cannot be decoded.
        """
        shared, per_item, _ = await self._fetch(user, items, placement)
        common: dict[str, Value] = {}
        for reader, reply in zip((self._user, self._placement), shared, strict=True):
            if reader is not None:
                common |= reader.values(reply)
        if self._item is None:
            return [dict(common) for _ in items]
        return [{**common, **self._item.values(reply)} for reply in per_item]

    async def _fetch(
        self, user: str, items: Sequence[str], placement: str, also: Sequence[bytes] = ()
    ) -> tuple[tuple[Reply, Reply], Sequence[Reply], Sequence[Reply]]:
        """One round trip: replies for user and placement, for each item, each item's creatives, and ``also``."""
        shared = [_request(self._user, user), _request(self._placement, placement)]
        asked = [_request(self._item, item) for item in items]
        packed = [request for request in (*shared, *asked) if request is not None]
        for item in items:
            key = keys.creatives(item, placement).encode(errors="surrogatepass")
            packed.append(_HGETALL % (len(key), key))
        replies = iter(await self._wire.ask([*packed, *also], "read features"))
        first, second = (None if request is None else next(replies) for request in shared)
        per_item = [None if request is None else next(replies) for request in asked]
        return (first, second), per_item, list(replies)


def _request(reader: EntityReader | None, value: str) -> bytes | None:
    """The packed HMGET, or None where there is nothing to ask for: no features, or an id that cannot be a key."""
    if reader is None:
        return None
    try:
        return reader.request(value)
    except InvalidInputError:
        return None


@lru_cache(maxsize=_MEMO)
def _creatives(fields: tuple[bytes, ...]) -> tuple[Mapping[str, CreativeRef], int]:
    """Creatives by arm, and how many were damaged; arms and references alternate.

    A pure function of the bytes, so remembering it can serve nothing old.
    """
    good: dict[str, CreativeRef] = {}
    damaged = 0
    for arm, data in zip(fields[::2], fields[1::2], strict=True):
        try:
            good[arm.decode()] = decode_ref(data)
        except (FormatError, UnicodeDecodeError):
            damaged += 1
    return MappingProxyType(good), damaged


def _flat(reply: Reply) -> tuple[bytes, ...]:
    """Fields and values of an HGETALL: a flat list in RESP2, a mapping in RESP3."""
    return tuple(chain.from_iterable(reply.items()) if isinstance(reply, dict) else reply)
