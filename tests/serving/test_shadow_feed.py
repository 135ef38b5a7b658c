"""Sampling for the shadow: every Nth read, never more than fits, every drop counted."""

from collections.abc import Sequence

import numpy as np

from contracts import UnavailableError
from serving.metrics import Metrics
from serving.shadow import ShadowFeed
from stores import OnlineRow, ShadowSample
from stores.feast_rows import NOTHING, DecodedRow


class Rows:
    """A reader of rows that are all alike."""

    def __init__(self, text: str = "") -> None:
        row = DecodedRow(((0, 1.5),), {"v:t": text}, 0.0, (), known=True, damaged=0)
        nothing = np.zeros((1, 1), dtype=np.bool_)
        self.row = OnlineRow(np.zeros((1, 1)), nothing, nothing, ({},), ({},), True, sources=(row, NOTHING, NOTHING))

    async def read(
        self, user: str, items: Sequence[str], placement: str, now_ms: int, also: Sequence[bytes] = ()
    ) -> OnlineRow:
        return self.row._replace(also=tuple(also))


class Sink:
    """Where samples end up, unless it is away."""

    def __init__(self) -> None:
        self.samples: list[ShadowSample] = []
        self.away = False

    async def append(self, samples: Sequence[bytes]) -> None:
        if self.away:
            message = "away"
            raise UnavailableError(message)
        self.samples += map(ShadowSample.from_json, samples)


def feed(sink: Sink, metrics: Metrics, reader: Rows | None = None, every: int = 3, capacity: int = 4) -> ShadowFeed:
    return ShadowFeed(reader or Rows(), sink, metrics, every=every, plan="p", schema="s", capacity=capacity)


def counted(metrics: Metrics, outcome: str) -> float:
    value = metrics.registry.get_sample_value("backdrop_shadow_samples_total", {"outcome": outcome})
    return value or 0.0


async def test_every_nth_read_is_sampled_and_all_are_answered() -> None:
    sink, metrics = Sink(), Metrics()
    fed = feed(sink, metrics)
    for number in range(10):
        row = await fed.read(f"u{number}", ["lamp"], "top", 0, (b"x",))
        assert row.also == (b"x",)
    assert sink.samples == []
    await fed.flush()
    assert [sample.user for sample in sink.samples] == ["u2", "u5", "u8"]
    assert (sink.samples[0].plan, sink.samples[0].schema, sink.samples[0].items) == ("p", "s", ("lamp",))
    assert sink.samples[0].rows[0].numbers == ((0, 1.5),)
    assert counted(metrics, "sent") == 3


async def test_what_does_not_fit_is_dropped_and_counted() -> None:
    sink, metrics = Sink(), Metrics()
    fed = feed(sink, metrics, every=1)
    for number in range(10):
        await fed.read(f"u{number}", ["lamp"], "top", 0)
    await fed.flush()
    assert [sample.user for sample in sink.samples] == ["u0", "u1", "u2", "u3"]
    assert (counted(metrics, "sent"), counted(metrics, "overflow")) == (4, 6)


async def test_samples_too_large_and_stores_away_are_counted() -> None:
    sink, metrics = Sink(), Metrics()
    large = feed(sink, metrics, Rows("x" * 70_000), every=1)
    await large.read("ann", ["lamp"], "top", 0)
    await large.flush()
    sink.away = True
    fed = feed(sink, metrics, every=1)
    for _ in range(2):
        await fed.read("ann", ["lamp"], "top", 0)
    await fed.flush()
    sink.away = False
    await fed.flush()
    assert sink.samples == []
    assert (counted(metrics, "too_large"), counted(metrics, "failed"), counted(metrics, "sent")) == (1, 2, 0)
