"""Feast's bytes in Redis: written once by the SDK, read for ever, without it."""

import math
import struct

from contracts import PlannedEntity, entity_key
from stores.feast_values import decode_timestamp, decode_value
from tests.golden import feast


def test_keys() -> None:
    made = [
        entity_key(PlannedEntity("user", join_key, key_type, ()), project, value).hex()
        for project, join_key, key_type, value in feast.KEYS
    ]
    assert made == feast.stored()["keys"]


def test_values() -> None:
    for data, (name, value) in zip(feast.stored()["values"], feast.VALUES, strict=True):
        found = decode_value(bytes.fromhex(data))
        if name == "null_val":
            assert found is None
        elif isinstance(value, float) and math.isnan(value):
            assert isinstance(found, float)
            assert math.isnan(found)
        elif isinstance(value, float):
            assert isinstance(found, float)
            assert struct.pack("<d", found) == struct.pack("<d", value)
        else:
            assert (type(found), found) == (type(value), value)


def test_times() -> None:
    assert [decode_timestamp(bytes.fromhex(data)) for data in feast.stored()["times"]] == list(feast.TIMES_NS)
