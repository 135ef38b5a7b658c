"""What serving reads of a lineage: which one is served, and its packs."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import redis.asyncio

from contracts import FormatError, StoreError, keys
from stores.connect import command_async, translated
from stores.round_trip import Wire, pack_command
from stores.statistics import NEVER

_LISTEN_S = 60.0
# Packs asked about in one round trip: few enough that their replies hold nobody up.
_AT_ONCE = 200


class AsyncPackStore:
    """What serving reads: the active lineage and its packs."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """Use ``client`` (replies as bytes)."""
        self._client = client
        self._wire = Wire(client)

    async def active_lineage(self) -> str | None:
        """The lineage served, or None if none is."""
        with translated("read the active lineage"):
            found = await command_async(self._client, "GET", keys.ACTIVE_LINEAGE)
        return None if found is None else str(found.decode(errors="replace"))

    async def categories(self, lineage: str) -> tuple[str, ...]:
        """Categories that the lineage has statistics of, ascending."""
        with translated("read the categories"):
            found = await command_async(self._client, "SMEMBERS", keys.lineage_categories(lineage))
        # A damaged name is one that nobody can ask for.
        return tuple(sorted(name.decode(errors="replace") for name in found))

    async def generations(self, categories: Sequence[str], lineage: str) -> list[int | FormatError | StoreError | None]:
        """Generations of the categories' packs; None where there is none, the error in place of what is no pack.

        Raises:
            UnavailableError: if Redis did not answer.
        """
        found: list[int | FormatError | StoreError | None] = []
        for start in range(0, len(categories), _AT_ONCE):
            names = [keys.pack(category, lineage).encode() for category in categories[start : start + _AT_ONCE]]
            asked = [pack_command(b"HGET", name, b"generation") for name in names]
            for name, reply in zip(names, await self._wire.ask_each(asked, "read packs"), strict=True):
                found.append(reply if reply is None or isinstance(reply, StoreError) else _number(reply, name))
        return found

    async def get_pack(self, category: str, lineage: str, held: int = NEVER) -> bytes | None:
        """A category's pack, if there is one of another generation than ``held``.

        Also of a lower one: a Redis that lost its dataset counts generations from lower on, and is the record.

        Raises:
            FormatError: if the stored generation is no number.
            UnavailableError: if Redis did not answer.
            StoreError: if what is stored is no pack at all.
        """
        name = keys.pack(category, lineage)
        with translated("read a pack"):
            generation, blob = await command_async(self._client, "HMGET", name, "generation", "blob")
        number = None if generation is None else _number(generation, name.encode())
        if isinstance(number, FormatError):
            raise number
        found: bytes | None = None if number is None or number == held else blob
        return found

    async def subscribe(self) -> AsyncGenerator[Mapping[str, Any], None]:
        """Announcements of new packs: ``lineage``, ``category``, ``generation``; ends only with an error.

        One that is damaged is an empty one: something changed.
        """
        with translated("subscribe to new packs"):
            async with self._client.pubsub() as channel:
                await channel.subscribe(keys.MODELS_CHANNEL)
                while True:
                    message = await channel.get_message(ignore_subscribe_messages=True, timeout=_LISTEN_S)
                    if message is not None:
                        yield _announced(message["data"])


def _number(generation: bytes, name: bytes) -> int | FormatError:
    try:
        return int(generation)
    except ValueError:
        return FormatError(f"generation {generation[:40]!r} of {name.decode(errors='replace')} is no number")


def _announced(data: bytes) -> Mapping[str, Any]:
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}
