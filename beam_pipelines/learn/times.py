"""Milliseconds of log time and Beam's timestamps."""

from apache_beam.utils.timestamp import Timestamp

# Each later stage's timer stands at least 1 ms behind the earlier one's, so that runners fire them in order.
PUBLISH_DELAY_MS = 1
LOW_WATERMARK_DELAY_MS = 2

_MICROS = 1000


def timestamp_of(time_ms: int) -> Timestamp:
    """Beam's timestamp of a time in milliseconds, exact."""
    return Timestamp(micros=time_ms * _MICROS)


def ms_of(timestamp: Timestamp) -> int:
    """Milliseconds of a timestamp, rounded down."""
    return int(timestamp.micros // _MICROS)


def next_multiple(time_ms: int, interval_ms: int) -> int:
    """Smallest multiple of the interval above ``time_ms``."""
    return (time_ms // interval_ms + 1) * interval_ms
