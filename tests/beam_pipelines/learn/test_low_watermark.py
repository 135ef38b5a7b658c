"""The low watermark is only ever stored as of a flush time."""

from typing import Any

import pytest
from apache_beam.utils.timestamp import Timestamp

from beam_pipelines.learn.publish_stage import StoreLowWatermark
from beam_pipelines.learn.times import LOW_WATERMARK_DELAY_MS, ms_of
from stores.dataset import Dataset


class Cell:
    """A state cell or a timer, as a stage sees it."""

    def __init__(self) -> None:
        self.value: Any = None

    def read(self) -> Any:
        return self.value

    def write(self, value: Any) -> None:
        self.value = value

    def set(self, at: Timestamp) -> None:
        self.value = ms_of(at)


@pytest.mark.parametrize(
    ("time_ms", "until_ms", "due_ms"),
    [(45_000, 1 << 60, 46_000), (46_000, 1 << 60, 46_000), (46_001, 1 << 60, 48_000), (47_000, 47_500, 47_500)],
)
def test_a_windows_bound_between_two_flushes_waits_for_the_later(time_ms: int, until_ms: int, due_ms: int) -> None:
    stage = StoreLowWatermark("test", "redis://127.0.0.1:1/0", 2_000, dataset=Dataset("run", 1), until_ms=until_ms)
    armed, latest, timer = Cell(), Cell(), Cell()
    stage.process((b"", time_ms), armed, latest, timer)
    assert timer.value == due_ms + LOW_WATERMARK_DELAY_MS
