"""Sums of statistics: closing windows into the base, and what a pack is made of (design, idea 7)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from contracts import CountKey, LineageSettings, StatisticsBlob, TrafficPolicy
from learner import ModelSettings, Statistics, require_exact


@dataclass(frozen=True, slots=True)
class PackInputs:
    """What shapes a category's pack besides its lineage's statistics.

    ``alpha`` is the category's; ``tags`` arm -> (name -> word); ``seed`` sums lent by another lineage, or None.
    """

    alpha: float = TrafficPolicy().default_alpha
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    seed: Statistics | None = None


def close_windows(
    base: StatisticsBlob | None,
    due: Mapping[int, Sequence[StatisticsBlob]],
    settings: LineageSettings,
    lineage: str,
    category: str,
) -> StatisticsBlob:
    """Add windows (start -> their shards' deltas), ascending, to a category's base.

    With forgetting, statistics of the base are multiplied by gamma once for each window since its ``through``;
    the product is repeated, never a power, so that every run rounds alike. Fact and event counts never fade.

    Raises:
        NumericalError: if exact sums are no longer possible (only without forgetting is that promised).
    """
    sums = statistics_of(base, settings.d)
    counts: Counter[CountKey] = Counter()
    clicks: Counter[CountKey] = Counter()
    _count(counts, clicks, [base] if base is not None else [])
    through = base.through if base is not None else -1
    facts = base.version if base is not None else 0
    for window in sorted(due):
        if settings.gamma != 1.0 and through >= 0:
            for _ in range((window - through) // settings.window_ms):
                sums = sums.discount(settings.gamma)
        fresh = Statistics.zero(settings.d)
        for shard in due[window]:
            fresh = fresh.merge(statistics_of(shard, settings.d))
            facts += shard.version
        _count(counts, clicks, due[window])
        sums = sums.merge(fresh)
        through = window
    if settings.gamma == 1.0:
        require_exact(sums.gram, settings.d, f"category {category!r}")
    return StatisticsBlob(
        lineage=lineage,
        schema_hash=settings.schema_hash,
        version=facts,
        window=-1,
        shard=-1,
        through=through,
        arms=sums.arms,
        n=sums.n,
        reward=sums.reward,
        gram=sums.gram,
        moment=sums.moment,
        counts={key: (float(counts[key]), float(clicks[key])) for key in counts},
    )


def statistics_of(blob: StatisticsBlob | None, d: int) -> Statistics:
    """The sums in a blob; zero for None."""
    if blob is None:
        return Statistics.zero(d)
    return Statistics(blob.arms, blob.n, blob.reward, blob.gram, blob.moment)


def total(blobs: Iterable[StatisticsBlob], d: int) -> Statistics:
    """Sum of base and deltas: what a pack is computed from."""
    sums = Statistics.zero(d)
    for blob in blobs:
        sums = sums.merge(statistics_of(blob, d))
    return sums


def make_pack(
    blobs: Iterable[StatisticsBlob],
    settings: LineageSettings,
    lineage: str,
    *,
    generation: int,
    model: ModelSettings,
    inputs: PackInputs,
) -> bytes:
    """The pack of a category from its base and open deltas, and the seed if it has one."""
    sums = total(blobs, settings.d)
    if inputs.seed is not None:
        sums = sums.merge(inputs.seed)
    fitted = model.fit(sums, alpha=inputs.alpha, tags=inputs.tags)
    return fitted.to_arrow(lineage=lineage, schema_hash=settings.schema_hash, generation=generation)


def _count(shown: Counter[CountKey], clicked: Counter[CountKey], blobs: Sequence[StatisticsBlob]) -> None:
    for blob in blobs:
        for key, (impressions, clicks) in blob.counts.items():
            shown[key] += int(impressions)
            clicked[key] += int(clicks)
