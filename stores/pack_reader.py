"""What serving reads of a lineage: which one is served, and its packs."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import redis.asyncio

from contracts import FormatError, keys
from stores.connect import command_async, translated
from stores.statistics import NEVER

_LISTEN_S = 60.0


class AsyncPackStore:
    """What serving reads: the active lineage and its packs."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """Use ``client`` (replies as bytes)."""
        self._client = client

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
            generation = await command_async(self._client, "HGET", name, "generation")
            if generation is None or _number(generation, name) == held:
                return None
            blob: bytes | None = await command_async(self._client, "HGET", name, "blob")
        return blob

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


def _number(generation: bytes, name: str) -> int:
    try:
        return int(generation)
    except ValueError as error:
        message = f"generation {generation[:40]!r} of {name} is no number"
        raise FormatError(message) from error


def _announced(data: bytes) -> Mapping[str, Any]:
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}
