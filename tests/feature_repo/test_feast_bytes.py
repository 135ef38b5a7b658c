"""What Feast writes: the golden bytes still, and for every supported type what the reader reads back."""

import math
import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import entity_key
from stores import OnlineReader, connect_async
from stores.connect import command_async
from tests.feature_repo.agreement import same
from tests.feature_repo.shop import Shop
from tests.golden import feast

USER = 1_000_003
_WAYS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "s": ("string_val", st.text(st.characters(exclude_categories=["Cs"]), max_size=200)),
    "i": ("int32_val", st.integers(-(2**31), 2**31 - 1)),
    "l": ("int64_val", st.integers(-(2**63), 2**63 - 1)),
    "d": ("double_val", st.floats()),
    "f": ("float_val", st.floats(width=32)),
    "b": ("bool_val", st.booleans()),
    "t": ("unix_timestamp_val", st.integers(-62_135_596_800, 253_402_300_799)),
}
# None: a null; ...: not in the row at all.
values = st.fixed_dictionaries({name: st.one_of(st.none(), st.just(...), way) for name, (_, way) in _WAYS.items()})


def test_feast_writes_what_it_wrote() -> None:
    assert feast.by_feast() == feast.stored()


def test_the_plans_fields_are_feasts(shop: Shop) -> None:
    from feast.infra.online_stores.helpers import _mmh3

    for entity in shop.plan.entities:
        for view in entity.views:
            for feature in view.features:
                assert feature.field == _mmh3(f"{view.name}:{feature.name}")


@given(values, st.integers(0, 3 * 86_400 * 10**6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_type_written_by_the_sdk_is_read_as_the_sdk_reads_it(
    wide_shop: Shop, row: dict[str, Any], age_us: int
) -> None:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    store = wide_shop.store()
    event_us = wide_shop.now_ms * 1000 - age_us
    event = datetime.fromtimestamp(event_us // 10**6, UTC).replace(microsecond=event_us % 10**6)
    written = {
        name: Value() if value is None else Value(**{_WAYS[name][0]: value})
        for name, value in row.items()
        if value is not ...
    }
    client = connect_async(wide_shop.redis_url, timeout_s=10)
    (entity,) = (each for each in wide_shop.plan.entities if each.role == "user")
    key = entity_key(entity, wide_shop.plan.project, str(USER))
    # The SDK leaves a row with a newer time as it is.
    await command_async(client, "DEL", key)
    view = store.get_feature_view("user_wide")
    asked = EntityKey(join_keys=["user_id"], entity_values=[Value(int64_val=USER)])
    store._get_provider().online_write_batch(store.config, view, [(asked, written, event, None)], None)
    references = [f"user_wide:{name}" for name in _WAYS]
    answer = store.get_online_features(references, [{"user_id": USER}], full_feature_names=True).to_dict()
    reader = OnlineReader(wide_shop.plan, wide_shop.schema, client)
    (found,) = await reader.values(str(USER), ["no such sku"], "77")
    read = await reader.read(str(USER), ["no such sku"], "77", wide_shop.now_ms)
    await client.aclose()
    for name in _WAYS:
        theirs = answer[f"user_wide__{name}"][0]
        assert same(found[f"user_wide:{name}"], theirs), name
        if name != "s":
            column = wide_shop.schema.features.index(f"user_wide:{name}")
            expected = math.nan if theirs is None else _plain(theirs)
            assert struct.pack("<d", read.raw[0, column]) == struct.pack("<d", expected) or math.isnan(expected)
            assert read.present[0, column] == (not math.isnan(expected))
            assert read.stale[0, column] == (age_us > 86_400 * 10**6 and not math.isnan(expected))
    assert read.damaged == 0
    assert np.isnan(read.raw[~read.present]).all()


def _plain(value: Any) -> float:
    return value.timestamp() if isinstance(value, datetime) else float(value)
