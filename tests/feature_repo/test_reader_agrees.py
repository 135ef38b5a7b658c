"""The online reader against the Feast SDK: every value of every request, bit for bit."""

import importlib
from datetime import datetime
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts import FormatError, PlannedEntity, entity_key
from stores import OnlineReader, connect_async
from stores.connect import command_async
from stores.feast_values import decode_timestamp, decode_value
from tests.feature_repo import wide
from tests.feature_repo.agreement import differences, requests, same
from tests.feature_repo.shop import Shop

REQUESTS = 3000


async def test_no_difference_to_the_sdk_in_random_requests(wide_shop: Shop) -> None:
    found, kinds = await differences(wide_shop, requests(REQUESTS, 1, seed=1))
    assert found == []
    assert {str, int, float, bool, datetime, type(None)} <= kinds


async def test_no_difference_for_many_items_at_once(wide_shop: Shop) -> None:
    found, _ = await differences(wide_shop, requests(50, 20, seed=3))
    assert found == []


async def test_no_feature_is_served_past_its_ttl_without_a_flag(wide_shop: Shop) -> None:
    """Ages from Feast's own protobuf, one row at a time."""
    client = connect_async(wide_shop.redis_url, timeout_s=10)
    reader = OnlineReader(wide_shop.plan, wide_shop.schema, client)
    (item_entity,) = (entity for entity in wide_shop.plan.entities if entity.role == "item")
    (view,) = item_entity.views
    ours = [index for index, name in enumerate(wide_shop.schema.features) if name.startswith("item_wide:")]
    seen = set()
    for item in wide.keys_of("item"):
        key = entity_key(item_entity, wide_shop.plan.project, item)
        stored = await command_async(client, "HGET", key, view.timestamp_field)
        old = stored is None
        if stored is not None:
            time = timestamp_type().FromString(stored)
            old = wide_shop.now_ms * 10**6 - (time.seconds * 10**9 + time.nanos) > 86_400 * 10**9
        row = await reader.read("0", [item], "0", wide_shop.now_ms)
        assert np.array_equal(row.stale[0, ours], row.present[0, ours] & old)
        assert row.stale_texts == (old and bool(row.texts[0]),)
        seen.add(old)
    await client.aclose()
    assert seen == {True, False}


def timestamp_type() -> Any:
    """Protobuf's own Timestamp (protobuf ships no types)."""
    return importlib.import_module("google.protobuf.timestamp_pb2").Timestamp


@given(st.sampled_from(("STRING", "INT64", "INT32")), st.text("user_id:é", min_size=1, max_size=9), st.data())
def test_keys_are_those_of_feast(key_type: str, join_key: str, data: st.DataObject) -> None:
    from feast.infra.online_stores.helpers import _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value as ValueProto

    values = {
        "STRING": st.text(st.characters(exclude_categories=["Cs"])),
        "INT64": st.integers(-(2**63), 2**63 - 1).map(str),
        "INT32": st.integers(-(2**31), 2**31 - 1).map(str),
    }
    text = data.draw(values[key_type])
    value: Any = text if key_type == "STRING" else int(text)
    proto = ValueProto(**{f"{key_type.lower()}_val": value})
    expected = _redis_key("shop", EntityKey(join_keys=[join_key], entity_values=[proto]), 3)
    assert entity_key(PlannedEntity("user", join_key, key_type, ()), "shop", text) == expected


scalars = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])).map(lambda value: ("string_val", value)),
    st.binary().map(lambda value: ("bytes_val", value)),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: ("int32_val", value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: ("int64_val", value)),
    st.floats().map(lambda value: ("double_val", value)),
    st.floats(width=32).map(lambda value: ("float_val", value)),
    st.booleans().map(lambda value: ("bool_val", value)),
    st.integers(-(2**60), 2**60).map(lambda value: ("unix_timestamp_val", value)),
    st.just(("null_val", 0)),
)


@given(scalars)
def test_every_value_decodes_as_protobuf_decodes_it(scalar: tuple[str, Any]) -> None:
    from feast.protos.feast.types.Value_pb2 import Value as ValueProto

    name, value = scalar
    assert same(decode_value(ValueProto(**{name: value}).SerializeToString()), None if name == "null_val" else value)


@given(st.lists(st.one_of(st.binary(max_size=6), st.sampled_from([b"\x12\x01a", b"\x35", b"\x08\x80\x01", b"\x20"]))))
def test_any_bytes_decode_as_protobuf_decodes_them_or_are_refused(parts: list[bytes]) -> None:
    from feast.protos.feast.types.Value_pb2 import Value as ValueProto

    data = b"".join(parts)
    try:
        ours = decode_value(data)
    except FormatError:
        return
    # Raises where protobuf refuses the bytes, which we then must not have read.
    proto = ValueProto.FromString(data)
    name = proto.WhichOneof("val")
    assert same(ours, None if name in (None, "null_val") else getattr(proto, name))


@given(st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 10**9 - 1))
def test_timestamps_decode_as_protobuf_decodes_them(seconds: int, nanos: int) -> None:
    stamp = timestamp_type()(seconds=seconds, nanos=nanos)
    assert decode_timestamp(stamp.SerializeToString()) == stamp.ToNanoseconds()
