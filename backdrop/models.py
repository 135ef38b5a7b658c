"""What ``backdrop models`` tells: a lineage and its categories as they are stored, whoever wrote them and whenever."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts import (
    CountKey,
    FormatError,
    LineageError,
    LineageSettings,
    StatisticsBlob,
    decode_pack,
    decode_statistics,
)
from learner import wilson
from stores import CategoryState, LineageStore, PackHead, RecordView, StatisticsStore

if TYPE_CHECKING:
    import redis

    from stores import Progress

NEVER = -1
# Begun before lineages had states; its next learner registers it.
UNREGISTERED = "unregistered"


@dataclass(frozen=True, slots=True)
class Rate:
    """A click rate: decisions shown, those clicked, CTR and its 95 % interval (None while nothing was shown)."""

    shown: int
    clicks: int
    ctr: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, shown: float, clicks: float) -> "Rate":
        """Of counts."""
        if shown <= 0:
            return cls(int(shown), int(clicks), None, None, None)
        return cls(int(shown), int(clicks), clicks / shown, *wilson(clicks, shown))


@dataclass(frozen=True, slots=True)
class LineageHead:
    """A lineage as a whole; ``state`` as in docs/lineages.md, times in ms of the log's clock (-1: there is none)."""

    lineage: str
    state: str
    schema_hash: str
    categories: int
    low_watermark_ms: int
    newest_ms: int
    log_ms: int
    lag_ms: int
    learner_ms: int
    learner_pid: int


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """A category: ``share`` of the decisions shown in windows still open, ``closed_ms`` end of the last closed one.

    ``waiting`` is how many changes of its statistics its pack does not hold yet. ``damage`` names what could not be
    read; the numbers are then of the rest.
    """

    category: str
    arms: int
    rate: Rate
    share: float | None
    facts: int
    generation: int
    waiting: int
    pack_age_ms: int
    closed_ms: int
    damage: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """A lineage, its categories with the most facts, and how many more there are."""

    head: LineageHead
    rows: tuple[CategoryRow, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Category:
    """A category as read: its blobs (the base first), those of open windows, and what was damaged."""

    state: CategoryState
    blobs: tuple[StatisticsBlob, ...]
    open_blobs: tuple[StatisticsBlob, ...]
    damage: tuple[str, ...]

    def counts(self) -> dict[CountKey, tuple[float, float]]:
        """Decisions shown and clicked by (policy, arm, placement)."""
        return summed(self.blobs)


def lineage_named(client: "redis.Redis", lineage: str | None) -> str:
    """``lineage``, or the one that is served.

    Raises:
        LineageError: if none is named and none is served.
    """
    found = lineage or LineageStore(client).active()
    if found is None:
        message = "no lineage is served, so nothing has been learned here: start `backdrop learn`, or name a --lineage"
        raise LineageError(message)
    return found


def head_of(client: "redis.Redis", store: StatisticsStore, progress: "Progress", categories: int) -> LineageHead:
    """The lineage as a whole.

    Raises:
        LineageError: if there is no such lineage.
    """
    status = store.status()
    return LineageHead(
        lineage=store.lineage,
        state=str(LineageStore(client).states().get(store.lineage, UNREGISTERED)),
        schema_hash=store.settings().schema_hash,
        categories=categories,
        low_watermark_ms=progress.low_watermark_ms,
        newest_ms=progress.newest_ms,
        log_ms=progress.log_ms,
        lag_ms=progress.lag_ms,
        learner_ms=int(status.get("updated_ms", NEVER)),
        learner_pid=int(status.get("pid", NEVER)),
    )


def overview(client: "redis.Redis", lineage: str, progress: "Progress", limit: int) -> Overview:
    """A lineage with its ``limit`` largest categories (0: all), by name.

    Raises:
        LineageError: if there is no such lineage.
        UnavailableError: if Redis did not answer.
    """
    store, view = StatisticsStore(client, lineage), RecordView(client, lineage)
    settings = store.settings()
    facts = store.facts()
    largest = sorted(facts, key=lambda name: (-facts[name].total, name))
    shown = sorted(largest[:limit] if limit else largest)
    heads = view.pack_heads(shown)
    found = {name: read_category(store, name, settings) for name in shown}
    recent = {name: sum(n for n, _ in summed(category.open_blobs).values()) for name, category in found.items()}
    total = sum(recent.values())
    rows = tuple(
        _row(
            name,
            category,
            settings,
            heads.get(name),
            log_ms=progress.log_ms,
            facts=facts[name].total,
            share=recent[name] / total if total else None,
            pack_damage=pack_damage(view.pack(name)),
        )
        for name, category in found.items()
    )
    return Overview(head_of(client, store, progress, len(facts)), rows, len(facts) - len(shown))


def read_category(store: StatisticsStore, category: str, settings: LineageSettings) -> Category:
    """Read and decode a category's statistics; what is damaged is named and left out."""
    state = store.state(category)
    stored = {"base": state.base} if state.base is not None else {}
    stored |= {f"delta {name}": blob for name, (_, blob) in sorted(state.deltas.items())}
    decoded: dict[str, StatisticsBlob] = {}
    damage = []
    for name, blob in stored.items():
        try:
            decoded[name] = _of_lineage(decode_statistics(blob), settings)
        except FormatError as error:
            damage.append(f"{name}: {error}")
    opened = tuple(blob for name, blob in decoded.items() if name != "base")
    return Category(state, tuple(decoded.values()), opened, tuple(damage))


def arms_with_statistics(client: "redis.Redis", category: str) -> tuple[str, ...]:
    """Arms of a category that the served lineage has statistics of, ascending; none if no lineage is served."""
    served = LineageStore(client).active()
    if served is None:
        return ()
    store = StatisticsStore(client, served)
    found = read_category(store, category, store.settings())
    return tuple(sorted({arm for blob in found.blobs for arm in blob.arms}))


def summed(blobs: Iterable[StatisticsBlob]) -> dict[CountKey, tuple[float, float]]:
    """Counts of several blobs together."""
    total: dict[CountKey, tuple[float, float]] = {}
    for blob in blobs:
        for key, (shown, clicks) in blob.counts.items():
            before = total.get(key, (0.0, 0.0))
            total[key] = (before[0] + shown, before[1] + clicks)
    return total


def pack_damage(pack: bytes | None) -> tuple[str, ...]:
    """What is wrong with a pack, if anything is."""
    try:
        if pack is not None:
            decode_pack(pack)
    except FormatError as error:
        return (f"pack: {error}",)
    return ()


def _of_lineage(blob: StatisticsBlob, settings: LineageSettings) -> StatisticsBlob:
    if blob.moment.shape[1] != settings.d:
        message = f"statistics have d = {blob.moment.shape[1]}, their lineage has {settings.d}"
        raise FormatError(message)
    return blob


def _row(
    name: str,
    category: Category,
    settings: LineageSettings,
    pack: PackHead | None,
    *,
    log_ms: int,
    facts: int,
    share: float | None,
    pack_damage: tuple[str, ...],
) -> CategoryRow:
    counts = category.counts().values()
    state = category.state
    return CategoryRow(
        category=name,
        arms=len({arm for blob in category.blobs for arm in blob.arms}),
        rate=Rate.of(sum(shown for shown, _ in counts), sum(clicks for _, clicks in counts)),
        share=share,
        facts=facts,
        generation=state.generation,
        waiting=state.generation - (pack.generation if pack else 0),
        pack_age_ms=NEVER if pack is None or pack.written_ms < 0 else max(0, log_ms - pack.written_ms),
        closed_ms=NEVER if state.through < 0 else state.through + settings.window_ms,
        damage=(*category.damage, *pack_damage),
    )
