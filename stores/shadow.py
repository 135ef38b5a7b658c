"""Samples of what the online reader brought back, for a process that reads the same again by other means.

They lie in a short, capped Redis stream: nobody waits for them, and nothing depends on them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis.asyncio

from contracts import FormatError, InvalidInputError, keys
from stores.connect import Command, command_async, transaction_async, translated
from stores.feast_rows import DecodedRow
from stores.features import OnlineRow

MAX_SAMPLES = 1_000
MAX_SAMPLE_BYTES = 65_536
_VERSION = 1
_FIELD = "s"


@dataclass(frozen=True, slots=True)
class SampledRow:
    """What was read of one entity: (column, value or code), texts by reference, event times (ns) view by view."""

    numbers: tuple[tuple[int, float], ...]
    texts: tuple[tuple[str, str], ...]
    event_ns: tuple[float, ...]
    damaged: int

    @classmethod
    def of(cls, row: DecodedRow) -> "SampledRow":
        """What there is to compare of a row."""
        return cls(row.numbers, tuple(row.texts.items()), tuple(view.event_ns for view in row.views), row.damaged)


@dataclass(frozen=True, slots=True)
class ShadowSample:
    """One read: what was asked for, with which plan (fingerprint) and schema (hash), and the rows read.

    ``rows`` are those of user, placement and each item.
    """

    user: str
    items: tuple[str, ...]
    placement: str
    plan: str
    schema: str
    rows: tuple[SampledRow, ...]

    @classmethod
    def of(
        cls, user: str, items: Sequence[str], placement: str, row: OnlineRow, *, plan: str, schema: str
    ) -> "ShadowSample":
        """The sample of a read."""
        rows = tuple(
            SampledRow(
                each.numbers, tuple(each.texts.items()), tuple(view.event_ns for view in each.views), each.damaged
            )
            for each in row.sources
        )
        return cls(user, tuple(items), placement, plan, schema, rows)

    def asked(self) -> Iterator[tuple[str, str, SampledRow]]:
        """(role, entity, row) of everything that was read."""
        entities = [("user", self.user), ("placement", self.placement), *(("item", item) for item in self.items)]
        for (role, entity), row in zip(entities, self.rows, strict=True):
            yield role, entity, row

    def to_json(self) -> bytes:
        """Write the sample.

        Raises:
            InvalidInputError: if it is longer than a sample may be.
        """
        document = {
            "version": _VERSION,
            "user": self.user,
            "items": self.items,
            "placement": self.placement,
            "plan": self.plan,
            "schema": self.schema,
            "rows": [[row.numbers, row.texts, row.event_ns, row.damaged] for row in self.rows],
        }
        data = json.dumps(document, separators=(",", ":")).encode()
        if len(data) > MAX_SAMPLE_BYTES:
            message = f"sample has {len(data)} bytes, the limit is {MAX_SAMPLE_BYTES}: ask for fewer items at once"
            raise InvalidInputError(message)
        return data

    @classmethod
    def from_json(cls, data: bytes) -> "ShadowSample":
        """Read what ``to_json`` wrote.

        Raises:
            FormatError: if it is not such a document.
        """
        try:
            plain = json.loads(data)
            if plain["version"] != _VERSION:
                message = f"sample has version {plain['version']!r}, this reads {_VERSION}: use one release everywhere"
                raise FormatError(message)
            sample = cls(
                str(plain["user"]),
                tuple(map(str, plain["items"])),
                str(plain["placement"]),
                str(plain["plan"]),
                str(plain["schema"]),
                tuple(_row(*each) for each in plain["rows"]),
            )
            count = len(sample.rows)
        except (ValueError, KeyError, TypeError) as error:
            message = f"sample {data[:80]!r} is damaged: {error!r}"
            raise FormatError(message) from error
        if count != len(sample.items) + 2:
            message = f"sample has {count} rows for {len(sample.items)} items: it is damaged"
            raise FormatError(message)
        return sample


class AsyncShadowStream:
    """The stream that servers write to and a shadow reads; beyond ``MAX_SAMPLES`` old ones go."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        """Use ``client`` (replies as bytes)."""
        self._client = client

    async def append(self, samples: Sequence[bytes]) -> None:
        """Append samples in one round trip.

        Raises:
            UnavailableError: if Redis did not confirm.
        """
        commands: list[Command] = [
            ("XADD", keys.SHADOW, "MAXLEN", "~", MAX_SAMPLES, "*", _FIELD, sample) for sample in samples
        ]
        with translated("append samples"):
            await transaction_async(self._client, commands)

    async def last(self) -> str:
        """Position of the newest sample: reading behind it gives those to come.

        Raises:
            UnavailableError: if Redis does not answer.
        """
        with translated("read samples"):
            found: list[Any] = await command_async(self._client, "XREVRANGE", keys.SHADOW, "+", "-", "COUNT", 1)
        return found[0][0].decode() if found else "0-0"

    async def read(self, after: str, *, count: int, wait_ms: int) -> list[tuple[str, bytes]]:
        """Samples behind a position with theirs; waits up to ``wait_ms`` for the first.

        Raises:
            UnavailableError: if Redis does not answer.
        """
        with translated("read samples"):
            words = ("XREAD", "COUNT", count, "BLOCK", wait_ms, "STREAMS", keys.SHADOW, after)
            found: Any = await command_async(self._client, *words)
        return [(at.decode(), fields[_FIELD.encode()]) for _, entries in found or () for at, fields in entries]


def _row(numbers: Any, texts: Any, event_ns: Any, damaged: Any) -> SampledRow:
    return SampledRow(
        tuple((int(column), float(number)) for column, number in numbers),
        tuple((str(reference), str(text)) for reference, text in texts),
        tuple(float(each) if isinstance(each, float) else int(each) for each in event_ns),
        int(damaged),
    )
