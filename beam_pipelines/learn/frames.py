"""Frames: consecutive log entries of one partition as one Beam element, so that no element is a single event."""

import struct
from dataclasses import dataclass

from contracts import FormatError, LogEntry, Position

_HEAD = struct.Struct("<4sIIqq")
_ENTRY = struct.Struct("<qqI")
_MAGIC = b"BDF1"


@dataclass(frozen=True, slots=True)
class Frame:
    """All entries of ``partition`` behind ``after`` up to the last one here; at least one."""

    partition: int
    after: Position
    entries: tuple[LogEntry, ...]


def encode_frame(frame: Frame) -> bytes:
    """Write a frame."""
    entries, after = frame.entries, frame.after
    parts = [_HEAD.pack(_MAGIC, frame.partition, len(entries), after.append_ms, after.sequence)]
    for entry in entries:
        parts += (_ENTRY.pack(entry.position.append_ms, entry.position.sequence, len(entry.blob)), entry.blob)
    return b"".join(parts)


def decode_frame(data: bytes) -> Frame:
    """Read what ``encode_frame`` wrote.

    Raises:
        FormatError: if the bytes are not that.
    """
    try:
        magic, partition, count, after_ms, after_sequence = _HEAD.unpack_from(data)
        at = _HEAD.size
        entries: list[LogEntry] = []
        for _ in range(count if magic == _MAGIC else 0):
            append_ms, sequence, length = _ENTRY.unpack_from(data, at)
            at += _ENTRY.size + length
            entries.append(LogEntry(partition, Position(append_ms, sequence), data[at - length : at]))
    except struct.error as error:
        message = f"frame of {len(data)} bytes is cut short"
        raise FormatError(message) from error
    if magic != _MAGIC or at != len(data):
        message = f"frame of {len(data)} bytes begins with {magic!r} and should end at {at}"
        raise FormatError(message)
    return Frame(partition, Position(after_ms, after_sequence), tuple(entries))
