"""The aggregation's graph: count each slice, merge by view and part, smooth, write."""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.metrics.metric import Metrics

from beam_pipelines.features.aggregate import (
    VIEWS,
    Lookups,
    aggregate,
    band_codes,
    latest_prices,
    style_codes,
)
from beam_pipelines.features.config import AggregateConfig
from beam_pipelines.features.counts import Counts, merge
from beam_pipelines.features.decided import decisions
from beam_pipelines.features.rows import Totals, feature_rows
from beam_pipelines.features.slices import Slice, entries_of
from beam_pipelines.learn.source import RedisLogOpener
from contracts import SetupError
from feature_repo import Aggregates, add_stats, load_aggregates, stats_schemas
from stores import PolicyStore, connect

NAMESPACE = "backdrop.features"
SHOWN, CLICKED, ROWS, FACTS = "shown", "clicked", "rows_", "facts_"
# Entities are spread over so many parts by name: no element holds them all.
_PARTS = 16
# More at once would be faster, and hold more.
_MERGED_AT_ONCE = 4
_ITEMS = "item_profile.parquet"


class CountSlice(beam.DoFn):
    """Slices (bytes) to counts by ("view/part", bytes). One byte more in ``progress`` says that a slice is done."""

    def __init__(self, config: AggregateConfig, progress: str = "") -> None:
        """Keep the configuration."""
        self._config = config
        self._progress = progress

    def setup(self) -> None:
        """Open the log, and read what it does not say."""
        config = self._config
        self._aggregates = load_aggregates(Path(config.aggregates))
        self._log = RedisLogOpener(config.redis_url, config.partitions, config.archive_uri).open()
        self._client = connect(config.redis_url)
        policies = PolicyStore(self._client)
        self._lookups = Lookups(
            # Tags are fixed per arm.
            lru_cache(maxsize=None)(lambda category: style_codes(policies.tags(category), self._aggregates)),
            read_bands(Path(config.folder) / _ITEMS, config.as_of_ms, self._aggregates),
        )

    def teardown(self) -> None:
        """Close what this stage opened."""
        self._client.close()

    def process(self, element: bytes) -> Iterator[tuple[str, bytes]]:
        """Count one slice; what is held grows with its entities and the windows open at a time."""
        part, tally = Slice.from_bytes(element), Counter[str]()
        found: dict[str, list[Counts]] = {view: [] for view in VIEWS}
        entries = entries_of(self._log, self._config.partitions, part, self._config.rules)
        for shown, clicked in decisions(entries, self._config.rules, part, tally):
            tell(SHOWN, len(shown))
            tell(CLICKED, int(clicked.sum()))
            for view, counts in aggregate(shown, clicked, self._aggregates, self._lookups).items():
                found[view] = compacted([*found[view], counts])
        for name, facts in tally.items():
            tell(FACTS + name, facts)
        for view, parts in found.items():
            if parts:
                yield from spread(view, merge(parts))
        if self._progress:
            with Path(self._progress).open("ab") as file:
                file.write(b".")


class MergeCounts(beam.CombineFn):
    """Merges counts (bytes); an accumulator is a short list of them, so that neither it nor they need be pickled."""

    def create_accumulator(self) -> list[bytes]:
        """Nothing yet."""
        return []

    def add_input(self, mutable_accumulator: list[bytes], element: bytes) -> list[bytes]:
        """Add one part."""
        return self._short([*mutable_accumulator, element])

    def merge_accumulators(self, accumulators: Iterable[list[bytes]]) -> list[bytes]:
        """Join."""
        return self._short([part for accumulator in accumulators for part in accumulator])

    def extract_output(self, accumulator: list[bytes]) -> bytes:
        """All in one."""
        return _merged(accumulator)

    def _short(self, parts: list[bytes]) -> list[bytes]:
        return [_merged(parts)] if len(parts) > _MERGED_AT_ONCE else parts


class AddTotals(beam.CombineFn):
    """Adds totals (bytes); there is one result even of nothing."""

    def __init__(self, aggregates: Aggregates) -> None:
        """Know how many columns there are."""
        self._aggregates = aggregates

    def create_accumulator(self) -> bytes:
        """Nothing yet."""
        return Totals.zero(self._aggregates).encode()

    def add_input(self, mutable_accumulator: bytes, element: bytes) -> bytes:
        """Add one."""
        return self.merge_accumulators((mutable_accumulator, element))

    def merge_accumulators(self, accumulators: Iterable[bytes]) -> bytes:
        """Join."""
        total = Totals.zero(self._aggregates)
        for accumulator in accumulators:
            total = total.plus(Totals.decode(accumulator))
        return total.encode()

    def extract_output(self, accumulator: bytes) -> bytes:
        """The sum."""
        return accumulator


class WriteView(beam.DoFn):
    """Writes a view's rows, given as ("view", its parts' counts), part by part."""

    def __init__(self, config: AggregateConfig) -> None:
        """Keep the configuration."""
        self._config = config

    def process(self, element: tuple[str, Iterable[bytes]], totals: bytes) -> None:
        """Write one view."""
        view, parts = element
        config, aggregates = self._config, load_aggregates(Path(self._config.aggregates))
        total = Totals.decode(totals)
        added = add_stats(
            Path(config.folder) / f"{view}.parquet",
            stats_schemas(aggregates)[view],
            (feature_rows(view, Counts.decode(part), total, aggregates, config.as_of_ms) for part in parts),
            as_of=datetime.fromtimestamp(config.as_of_ms / 1000, UTC),
            keep=timedelta(days=config.keep_days),
        )
        tell(ROWS + view, added)


@dataclass(eq=False)
class AggregateLog(beam.PTransform[Any, Any]):
    """Slices (bytes) to the views' Parquet files. Not frozen: Beam sets attributes on a transform."""

    config: AggregateConfig
    progress: str = ""

    def expand(self, slices: Any) -> Any:
        """Build the stages."""
        aggregates = load_aggregates(Path(self.config.aggregates))
        merged = (
            slices
            | "Spread" >> _reshuffle()
            | "CountSlice" >> _par_do(CountSlice(self.config, self.progress)).with_output_types(tuple[str, bytes])
            | "MergeCounts" >> _combine_per_key(MergeCounts).with_output_types(tuple[str, bytes])
        )
        totals = (
            merged
            | "Totals" >> _map(_totals, aggregates).with_output_types(bytes)
            | "AddTotals" >> _combine_globally(AddTotals(aggregates)).with_output_types(bytes)
        )
        return (
            merged
            | "ByView" >> _map(_by_view).with_output_types(tuple[str, bytes])
            | "Together" >> _group_by_key()
            | "WriteView" >> _par_do(WriteView(self.config), totals=beam.pvalue.AsSingleton(totals))
        )


def compacted(parts: list[Counts]) -> list[Counts]:
    """The same counts in a few parts."""
    return [merge(parts)] if len(parts) > _MERGED_AT_ONCE else parts


def spread(view: str, counts: Counts) -> Iterator[tuple[str, bytes]]:
    """Split counts into the parts that their names fall to."""
    places = np.array([zlib.crc32(name.encode()) % _PARTS for name in counts.names], dtype=np.int64)
    for place in np.unique(places).tolist():
        yield f"{view}/{place}", counts.take(np.flatnonzero(places == place)).encode()


def read_bands(path: Path, as_of_ms: int, aggregates: Aggregates) -> Mapping[str, int]:
    """Price band of each item as of a time.

    Raises:
        SetupError: if the items' profiles cannot be read.
    """
    try:
        items = pq.read_table(path, columns=["item", "price", "event_timestamp"])
        times = items.schema.field("event_timestamp").type
        names, prices = latest_prices(items, pa.scalar(datetime.fromtimestamp(as_of_ms / 1000, UTC), times))
    except (OSError, KeyError, pa.ArrowException) as error:
        message = f"{path} cannot be read ({error}): write the profiles first, prices come from them"
        raise SetupError(message) from error
    return dict(zip(names, band_codes(prices, aggregates).tolist(), strict=True))


def tell(name: str, by: int) -> None:
    """Count for the run's report."""
    counter: Any = Metrics.counter(NAMESPACE, name)
    counter.inc(by)


def _merged(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else merge([Counts.decode(part) for part in parts]).encode()


def _view_of(key: str) -> str:
    return key.partition("/")[0]


def _by_view(pair: tuple[str, bytes]) -> tuple[str, bytes]:
    return _view_of(pair[0]), pair[1]


def _totals(pair: tuple[str, bytes], aggregates: Aggregates) -> bytes:
    return Totals.of(_view_of(pair[0]), Counts.decode(pair[1]), aggregates).encode()


def _par_do(stage: beam.DoFn, **sides: Any) -> Any:
    par_do: Any = beam.ParDo
    return par_do(stage, **sides)


def _map(function: Any, *more: Any) -> Any:
    mapped: Any = beam.Map
    return mapped(function, *more)


def _combine_per_key(combine: Any) -> Any:
    per_key: Any = beam.CombinePerKey
    return per_key(combine())


def _combine_globally(combine: beam.CombineFn) -> Any:
    globally: Any = beam.CombineGlobally
    return globally(combine)


def _group_by_key() -> Any:
    group: Any = beam.GroupByKey
    return group()


def _reshuffle() -> Any:
    reshuffle: Any = beam.Reshuffle
    return reshuffle()
