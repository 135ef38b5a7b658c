"""The online reader by Feast's own SDK: slower, for comparison and for whoever prefers it (``features.reader``)."""

import asyncio
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import redis.asyncio

from contracts import ContextSchema, FormatError, PlannedEntity, ReadPlan, SetupError, UnavailableError
from stores import OnlineRow, translated
from stores.creative_index import decode_index, index_fields, index_request
from stores.feast_rows import NOTHING, DecodedRow, EntityReader, Slot, View, compile_entity, row_of
from stores.feast_values import NULL_TIME, Value
from stores.features import online_row
from stores.round_trip import Wire

_NANOS = 1_000_000_000
# Reads under way, also those that nobody waits for any more: behind so many a new one would miss its deadline anyway.
MAX_RUNNING = 64


class SdkReader:
    """Reads what ``OnlineReader`` reads, features through ``store.get_online_features_async``.

    ``client`` (bytes) reads the creative index. A read takes up to ``timeout_s``. Ages are known to the microsecond.
    """

    def __init__(
        self, store: Any, plan: ReadPlan, schema: ContextSchema, client: redis.asyncio.Redis, *, timeout_s: float = 1.0
    ) -> None:
        """Lay out the reads."""
        columns = {name: index for index, name in enumerate(schema.features)}
        self._store = store
        self._wire = Wire(client)
        self._width = len(columns)
        self._timeout_s = timeout_s
        self._running: set[asyncio.Task[tuple[Sequence[DecodedRow], Sequence[DecodedRow]]]] = set()
        self._entities: dict[str, tuple[PlannedEntity, EntityReader]] = {
            entity.role: (entity, compile_entity(entity, plan.project, columns, schema, frozenset(plan.item_texts)))
            for entity in plan.entities
        }

    async def read(
        self, user: str, items: Sequence[str], placement: str, now_ms: int, also: Sequence[bytes] = ()
    ) -> OnlineRow:
        """Read all that a decision on ``items`` needs; ages are as of ``now_ms``.

        ``also`` are packed read commands that go along with the creative index.

        Raises:
            UnavailableError: if Redis does not answer.
            StoreError: if Redis refuses a command.
            FormatError: if the SDK refuses a stored value.
        """
        shared, rows = await self.features(user, items, placement)
        asked = [*(index_request(item, placement) for item in items), *also]
        replies = await self._wire.ask(asked, "read creatives")
        creatives = [decode_index(tuple(index_fields(reply))) for reply in replies[: len(items)]]
        return online_row(shared, rows, creatives, replies[len(items) :], self._width, now_ms)

    async def features(
        self, user: str, items: Sequence[str], placement: str
    ) -> tuple[Sequence[DecodedRow], Sequence[DecodedRow]]:
        """Rows of user and placement, and of each item.

        Raises:
            UnavailableError: if Redis does not answer, or too many reads wait for it.
            StoreError: if Redis refuses a command.
            FormatError: if the SDK refuses a stored value.
        """
        if len(self._running) >= MAX_RUNNING:
            message = f"could not read features: {MAX_RUNNING} reads wait for Redis, the limit: ask less at a time"
            raise UnavailableError(message)
        # A read that is cancelled leaves its connection with an answer to come: redis-py throws it away. So a read that
        # is given up goes on to its end, which the timeout sets.
        task = asyncio.create_task(self._features(user, items, placement))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _features(
        self, user: str, items: Sequence[str], placement: str
    ) -> tuple[Sequence[DecodedRow], Sequence[DecodedRow]]:
        try:
            with translated("read features"):
                async with asyncio.timeout(self._timeout_s):
                    users, placements, rows = await asyncio.gather(
                        *(
                            self.rows(role, values)
                            for role, values in (("user", [user]), ("placement", [placement]), ("item", items))
                        )
                    )
        except TimeoutError as error:
            message = f"could not read features: no answer within {self._timeout_s} s: check that Redis is reachable"
            raise UnavailableError(message) from error
        return (*users, *placements), rows

    def views(self, role: str) -> tuple[View, ...]:
        """What is used of a role's entities, view by view."""
        return self._entities[role][1].views if role in self._entities else ()

    async def close(self) -> None:
        """Close the SDK's own connections: Feast's Redis store has no way to."""
        client = getattr(self._store._get_provider().online_store, "_client_async", None)
        if client is not None:
            await client.aclose()

    async def rows(self, role: str, values: Sequence[str]) -> list[DecodedRow]:
        """The rows of one role's entities, in order.

        Raises:
            FormatError: if the SDK refuses a stored value.
        """
        if role not in self._entities or not values:
            return [NOTHING] * len(values)
        entity, reader = self._entities[role]
        # What cannot be a key is unknown, as for the other reader.
        asked = [value for value in values if reader.request(value) is not None]
        if not asked:
            return [NOTHING] * len(values)
        keys = asked if entity.key_type == "STRING" else [int(value) for value in asked]
        try:
            answer = await self._store.get_online_features_async(
                list(reader.features), [{entity.join_key: key} for key in keys], full_feature_names=True
            )
        except Exception as error:
            # protobuf's own DecodeError, without importing protobuf for its name.
            if type(error).__name__ != "DecodeError":
                raise
            message = f"the Feast SDK cannot read a stored value of {role} {asked[:5]}: {error}"
            raise FormatError(message) from error
        vectors = dict(zip(answer.proto.metadata.feature_names.val, answer.proto.results, strict=True))
        columns = {name: vectors[name.replace(":", "__", 1)] for name in reader.features}
        found = iter([_row(reader, columns, row) for row in range(len(asked))])
        return [NOTHING if reader.request(value) is None else next(found) for value in values]


def _row(reader: EntityReader, columns: Mapping[str, Any], row: int) -> DecodedRow:
    def value_of(slot: Slot) -> Value:
        return _value(columns[slot.reference].values[row])

    def event_ns_of(view: View) -> float:
        stamp = next(
            (columns[name].event_timestamps[row] for name in columns if name.partition(":")[0] == view.name), None
        )
        # The SDK says 1970 where it found none.
        return -math.inf if stamp is None or not stamp.seconds else stamp.seconds * _NANOS + stamp.nanos

    known = any(
        column.event_timestamps[row].seconds or _value(column.values[row]) is not None for column in columns.values()
    )
    return row_of(reader.views, value_of, event_ns_of, known=known)


def _value(proto: Any) -> Value:
    kind = proto.WhichOneof("val")
    if kind in (None, "null_val"):
        return None
    value: Value = getattr(proto, kind)
    if kind == "unix_timestamp_val" and value == NULL_TIME:
        return None
    if not isinstance(value, str | bytes | int | float):
        message = f"stored value is of the type {kind}, which no plan has"
        raise FormatError(message)
    return value


def sdk_reader(
    repo: Path, store_file: Path, timeout_s: float, plan: ReadPlan, schema: ContextSchema, client: redis.asyncio.Redis
) -> SdkReader:
    """Make the reader for a server; with the first three arguments bound it is what ``serving`` takes."""
    return SdkReader(open_feast(repo, store_file), plan, schema, client, timeout_s=timeout_s)


def open_feast(repo: Path, store_file: Path) -> Any:
    """Feast's store; importing Feast takes seconds.

    Raises:
        SetupError: if Feast is not installed, or refuses the store file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from feast.feature_store import FeatureStore

            return FeatureStore(repo_path=str(repo), fs_yaml_file=store_file)
        except (ImportError, OSError, ValueError) as error:
            what = f"Feast cannot be opened with {store_file} ({error})"
            message = f"{what}: install backdrop-ads[features] and run `backdrop features`"
            raise SetupError(message) from error
