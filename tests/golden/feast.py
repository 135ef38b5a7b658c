"""Keys, fields and values as Feast 0.67 writes them to Redis. ``feast-1.json`` was written by the SDK itself."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "feast-1.json"

# (project, join key, type, value) of entity keys; view:feature of fields; (field of feast.types.Value, value).
KEYS: tuple[tuple[str, str, str, str], ...] = (
    ("shop", "user", "STRING", "ann"),
    ("shop", "item", "STRING", ""),
    ("shop", "item", "STRING", "lämp ☃🙂"),
    ("backdrop", "placement", "INT32", str(-(2**31))),
    ("backdrop", "user_id", "INT64", str(2**63 - 1)),
    ("backdrop", "user_id", "INT64", "-1"),
)
FIELDS: tuple[str, ...] = ("user_profile:device", "item_profile:price", "é:ü", "v:f")
VALUES: tuple[tuple[str, Any], ...] = (
    ("string_val", ""),
    ("string_val", "é☃🙂"),
    ("string_val", "x" * 130),
    ("int32_val", 0),
    ("int32_val", -(2**31)),
    ("int64_val", 2**63 - 1),
    ("int64_val", -(2**63)),
    ("double_val", 0.1),
    ("double_val", float("-inf")),
    ("float_val", 1.5),
    ("float_val", float("nan")),
    ("bool_val", False),
    ("bool_val", True),
    ("unix_timestamp_val", -1),
    ("null_val", 0),
)
TIMES_NS: tuple[int, ...] = (0, 1, 1_700_000_000_123_456_000, -1, 253_402_300_799_999_999_999)


def stored() -> dict[str, list[str]]:
    """The golden file: hex of each key, field, value and time, in the order above."""
    found: dict[str, list[str]] = json.loads(FILE.read_text())
    return found


def by_feast() -> dict[str, list[str]]:
    """What the SDK writes today."""
    import importlib

    from feast.infra.online_stores.helpers import _mmh3, _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    stamp = importlib.import_module("google.protobuf.timestamp_pb2").Timestamp

    def key(project: str, join_key: str, key_type: str, value: str) -> bytes:
        plain: Any = value if key_type == "STRING" else int(value)
        proto = Value(**{f"{key_type.lower()}_val": plain})
        return bytes(_redis_key(project, EntityKey(join_keys=[join_key], entity_values=[proto]), 3))

    def time(at_ns: int) -> bytes:
        seconds, nanos = divmod(at_ns, 1_000_000_000)
        return bytes(stamp(seconds=seconds, nanos=nanos).SerializeToString())

    return {
        "keys": [key(*each).hex() for each in KEYS],
        "fields": [bytes(_mmh3(each)).hex() for each in FIELDS],
        "values": [Value(**{name: value}).SerializeToString().hex() for name, value in VALUES],
        "times": [time(each).hex() for each in TIMES_NS],
    }


if __name__ == "__main__" and not FILE.exists():
    FILE.write_text(json.dumps(by_feast(), indent=1) + "\n")
