"""What an operator asks of lineages in Redis; reads only, and never more than was asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis

from contracts import keys
from stores.connect import command, pipeline, translated

UNKNOWN = -1

_STATISTICS = {"base": keys.base, "deltas": keys.deltas, "pack": keys.pack}


@dataclass(frozen=True, slots=True)
class PackHead:
    """A stored pack without its content: generation, and when it was written (log clock, ms; -1 if not known)."""

    generation: int
    written_ms: int


@dataclass(frozen=True, slots=True)
class LogSize:
    """One partition of the event log: entries, and Redis memory."""

    entries: int
    memory_bytes: int


class RecordView:
    """One lineage as it lies in Redis. Every method may raise ``UnavailableError``."""

    def __init__(self, client: redis.Redis, lineage: str) -> None:
        """Use ``client`` (replies as bytes)."""
        self._client = client
        self.lineage = lineage

    def pack_heads(self, categories: Sequence[str]) -> dict[str, PackHead]:
        """Generation and time of the categories' packs; those without one are left out."""
        asked = [("HMGET", keys.pack(name, self.lineage), "generation", "written_ms") for name in categories]
        with translated("read the packs' generations"):
            found = pipeline(self._client, asked)
        return {
            name: PackHead(int(generation), UNKNOWN if written is None else int(written))
            for name, (generation, written) in zip(categories, found, strict=True)
            if generation is not None
        }

    def pack(self, category: str) -> bytes | None:
        """The pack of a category as stored, or None if it has none."""
        with translated("read a pack"):
            blob: bytes | None = command(self._client, "HGET", keys.pack(category, self.lineage), "blob")
        return blob

    def open_windows(self, categories: Sequence[str]) -> tuple[int, ...]:
        """Starts (ms) of windows with open statistics in any of the categories, ascending."""
        with translated("read the open windows"):
            found = pipeline(self._client, [("HKEYS", keys.deltas(name, self.lineage)) for name in categories])
        return tuple(sorted({int(name.partition(b":")[0]) for names in found for name in names}))

    def log_sizes(self, partitions: int) -> tuple[LogSize, ...]:
        """Size of each partition of the event log; bytes are estimated from a few of its entries, as Redis does."""
        asked = [
            word for p in range(partitions) for word in (("XLEN", keys.events(p)), ("MEMORY USAGE", keys.events(p)))
        ]
        with translated("ask for the size of the event log"):
            found = [int(size or 0) for size in pipeline(self._client, asked)]
        return tuple(LogSize(*found[at : at + 2]) for at in range(0, len(found), 2))

    def memory_bytes(self, categories: Sequence[str]) -> Mapping[str, int]:
        """Memory that Redis uses for the categories' ``base``, ``deltas`` and ``pack`` (its own overhead included)."""
        asked = [
            # 0: every field is looked at, so that the sum is exact.
            ("MEMORY USAGE", key(name, self.lineage), "SAMPLES", 0)
            for key in _STATISTICS.values()
            for name in categories
        ]
        with translated("ask for memory in use"):
            found = [int(size or 0) for size in pipeline(self._client, asked)]
        return {
            kind: sum(found[at * len(categories) : (at + 1) * len(categories)]) for at, kind in enumerate(_STATISTICS)
        }
