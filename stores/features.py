"""The online reader: everything a decision needs from Redis in one round trip, decoded by a compiled plan."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from contracts import (
    ContextSchema,
    CreativeRef,
    FormatError,
    InvalidInputError,
    ReadPlan,
    SettingsError,
    check_name,
    keys,
)
from stores.creative_index import decode_ref
from stores.feast_rows import Decoded, EntityReader, compile_entity
from stores.feast_values import Value
from stores.round_trip import Reply, pack_command, round_trip

_MEMO = 65_536
_HGETALL = b"HGETALL"


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """What one read brought back, for n items and the schema's f features.

    ``raw`` (n, f) values and codes, NaN where there is none; ``present`` (n, f) whether there is a value;
    ``stale`` (n, f) whether it is older than its view's TTL. ``texts`` by reference and ``creatives`` by arm,
    one mapping an item; ``stale_texts`` (n) whether any of an item's texts is older than its view's TTL.
    ``damaged`` counts stored values that could not be decoded and were left out.
    """

    raw: NDArray[np.float64]
    present: NDArray[np.bool_]
    stale: NDArray[np.bool_]
    texts: tuple[Mapping[str, str], ...]
    creatives: tuple[Mapping[str, CreativeRef], ...]
    user_known: bool
    stale_texts: tuple[bool, ...] = ()
    damaged: int = 0

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
        self._client = client
        self._features = len(schema.features)
        columns = {name: index for index, name in enumerate(schema.features)}
        readers = {
            entity.role: compile_entity(entity, plan.project, columns, schema, frozenset(plan.item_texts))
            for entity in plan.entities
        }
        self._user, self._item, self._placement = (readers.get(role) for role in ("user", "item", "placement"))

    async def read(self, user: str, items: Sequence[str], placement: str, now_ms: int) -> OnlineRow:
        """Read all that a decision on ``items`` needs; ages are as of ``now_ms``.

        Raises:
            UnavailableError: if Redis does not answer.
            StoreError: if Redis refuses a command.
        """
        shared, per_item, indexes = await self._fetch(user, items, placement)
        common = Decoded.empty(self._features)
        user_known = False
        for reader, reply in zip((self._user, self._placement), shared, strict=True):
            if reader is not None:
                known = reader.decode(reply, now_ms, common)
                user_known = user_known or (known and reader is self._user)
        rows = [common.copy() for _ in items]
        if self._item is not None:
            for reply, row in zip(per_item, rows, strict=True):
                self._item.decode(reply, now_ms, row)
        creatives, damaged = _creatives(indexes)
        raw = np.array([row.values for row in rows], dtype=np.float64).reshape(len(items), self._features)
        return OnlineRow(
            raw=raw,
            present=~np.isnan(raw),
            stale=np.array([row.stale for row in rows], dtype=np.bool_).reshape(len(items), self._features),
            texts=tuple(row.texts for row in rows),
            creatives=creatives,
            user_known=user_known,
            stale_texts=tuple(row.stale_texts for row in rows),
            damaged=damaged + common.damaged + sum(row.damaged - common.damaged for row in rows),
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
        self, user: str, items: Sequence[str], placement: str
    ) -> tuple[tuple[Reply, Reply], Sequence[Reply], Sequence[Reply]]:
        """One round trip: replies for user and placement, for each item, and each item's creative index."""
        shared = [_request(self._user, user), _request(self._placement, placement)]
        asked = [_request(self._item, item) for item in items]
        packed = [request for request in (*shared, *asked) if request is not None]
        packed += [
            pack_command(_HGETALL, keys.creatives(item, placement).encode(errors="surrogatepass")) for item in items
        ]
        replies = iter(await round_trip(self._client, packed, "read features"))
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


def _creatives(replies: Sequence[Reply]) -> tuple[tuple[Mapping[str, CreativeRef], ...], int]:
    found: list[dict[str, CreativeRef]] = []
    damaged = 0
    for reply in replies:
        arms: dict[str, CreativeRef] = {}
        for arm, data in _pairs(reply):
            try:
                arms[check_name("arm", arm.decode())] = _decode_ref(data)
            except (FormatError, InvalidInputError, UnicodeDecodeError):
                damaged += 1
        found.append(arms)
    return tuple(found), damaged


def _pairs(reply: Reply) -> Iterable[tuple[bytes, bytes]]:
    """Fields and values of an HGETALL: a flat list in RESP2, a mapping in RESP3."""
    return reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)


@lru_cache(maxsize=_MEMO)
def _decode_ref(data: bytes) -> CreativeRef:
    # A pure function of the bytes, so remembering it can serve nothing old.
    return decode_ref(data)
