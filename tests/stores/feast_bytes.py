"""Rows as Feast writes them, written by hand: an oracle for the reader that needs no Feast."""

import struct
import zlib

from contracts import PlannedEntity, PlannedFeature, PlannedView, ReadPlan


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def stored(value: object) -> bytes:
    """``feast.types.Value`` of a text, an int64, a float32 or a bool."""
    match value:
        case None:
            return b""
        case str():
            data = value.encode()
            return b"\x12" + varint(len(data)) + data
        case bool():
            return b"\x38" + varint(value)
        case int():
            return b"\x20" + varint(value)
        case float():
            return b"\x35" + struct.pack("<f", value)
        case _:
            raise TypeError(value)


def stamp(now_ms: int) -> bytes:
    seconds, rest = divmod(now_ms, 1000)
    return b"\x08" + varint(seconds) + (b"\x10" + varint(rest * 1_000_000) if rest else b"")


def field(view: str, name: str) -> bytes:
    """Any four bytes will do here: the plan says which."""
    return struct.pack("<I", zlib.crc32(f"{view}:{name}".encode()))


def planned_view(name: str, ttl_ms: int, **features: str) -> PlannedView:
    return PlannedView(
        name, ttl_ms, tuple(PlannedFeature(each, field(name, each), kind) for each, kind in features.items())
    )


HOUR_MS = 3_600_000

PLAN = ReadPlan(
    project="shop",
    entities=(
        PlannedEntity(
            "user",
            "user",
            "STRING",
            (planned_view("taste", HOUR_MS, style="STRING"), planned_view("activity", 0, clicks="INT64")),
        ),
        PlannedEntity(
            "item",
            "item",
            "STRING",
            (planned_view("about", HOUR_MS, price="FLOAT", category="STRING", url="STRING"),),
        ),
        PlannedEntity("placement", "placement", "STRING", (planned_view("slot", HOUR_MS, big="BOOL"),)),
    ),
    item_texts=("about:category", "about:url"),
)
