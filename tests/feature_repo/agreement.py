"""The online reader against the Feast SDK: every value of every request, bit for bit."""

import math
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from stores import OnlineReader, connect_async
from stores.feast_values import Value
from tests.feature_repo import wide
from tests.feature_repo.shop import Shop

Asked = tuple[str, Sequence[str], str]
_CHUNK_ROWS = 1000


def same(ours: Value, theirs: object) -> bool:
    if isinstance(theirs, datetime):
        return type(ours) is int and ours == theirs.timestamp()
    if isinstance(ours, float) and isinstance(theirs, float):
        return struct.pack("<d", ours) == struct.pack("<d", theirs) or (math.isnan(ours) and math.isnan(theirs))
    return type(ours) is type(theirs) and ours == theirs


def requests(count: int, items: int, seed: int) -> list[Asked]:
    """(user, items, placement), one in ten of each unknown."""
    rng = np.random.default_rng(seed)
    pools = {role: wide.keys_of(role) for role in wide.ROLES}
    strangers = {"user": "987654321", "item": "no such sku", "placement": "77"}

    def pick(role: str) -> str:
        return strangers[role] if rng.random() < 0.1 else pools[role][int(rng.integers(len(pools[role])))]

    return [(pick("user"), [pick("item") for _ in range(items)], pick("placement")) for _ in range(count)]


def from_sdk(shop: Shop, asked: Sequence[Asked]) -> list[dict[str, object]]:
    """What the SDK returns for each item of each request, in one call."""
    references = list(shop.plan.references)
    rows: list[dict[str, Any]] = [
        {"user_id": int(user), "sku": item, "slot": int(placement)}
        for user, items, placement in asked
        for item in items
    ]
    answer = shop.store().get_online_features(references, rows, full_feature_names=True).to_dict()
    return [{name: answer[name.replace(":", "__")][row] for name in references} for row in range(len(rows))]


async def differences(shop: Shop, asked: Sequence[Asked]) -> tuple[list[object], set[type]]:
    """Every difference found in values, rows or presence, and the kinds of values that were compared."""
    client = connect_async(shop.redis_url, timeout_s=10)
    reader = OnlineReader(shop.plan, shop.schema, client)
    patient = OnlineReader(wide.without_ttl(shop.plan), shop.schema, client)
    found: list[object] = []
    kinds: set[type] = set()
    per_chunk = max(1, _CHUNK_ROWS // len(asked[0][1]))
    for start in range(0, len(asked), per_chunk):
        chunk = asked[start : start + per_chunk]
        expected = iter(from_sdk(shop, chunk))
        for user, items, placement in chunk:
            theirs = [next(expected) for _ in items]
            for ours, row in zip(await reader.values(user, items, placement), theirs, strict=True):
                found += [(name, ours[name], row[name]) for name in row if not same(ours[name], row[name])]
                kinds |= {type(value) for value in row.values()}
            read = await patient.read(user, items, placement, shop.now_ms)
            columns = {name: [_plain(row[name]) for row in theirs] for name in shop.schema.features}
            raw, present = shop.schema.raw(columns)
            texts = tuple(
                {"item_wide:s": row["item_wide:s"]} if row["item_wide:s"] is not None else {} for row in theirs
            )
            if not (np.array_equal(read.raw, raw, equal_nan=True) and np.array_equal(read.present, present)):
                found.append((user, items, placement, read.raw, raw))
            if read.texts != texts or read.stale.any() or read.damaged:
                found.append((user, items, placement, read.texts, texts, read.damaged))
    await client.aclose()
    return found, kinds


def _plain(value: object) -> object:
    return value.timestamp() if isinstance(value, datetime) else value
