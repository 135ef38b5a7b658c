"""Warm start: what one lineage has learned, lent to another one's packs (its own statistics stay its own)."""

from dataclasses import replace

from beam_pipelines.learn.closing import total
from contracts import InvalidInputError, LineageError, StatisticsBlob, decode_statistics, encode_statistics
from stores.statistics import CategoryState, StatisticsStore


def warm_start(source: StatisticsStore, target: StatisticsStore, *, weight: float) -> dict[str, float]:
    """Write every category's base and open deltas of ``source``, times ``weight``, as seeds of ``target``.

    Seeds are added where packs are made and nowhere else: a replay of ``target`` is not touched. They do not fade. A
    second call replaces them. Returns category -> decisions lent.

    Raises:
        InvalidInputError: if ``weight`` is outside (0, 1].
        LineageError: if a lineage does not exist, both are one, or their contexts differ.
    """
    if not 0.0 < weight <= 1.0:
        message = f"weight = {weight}: must be above 0 and at most 1"
        raise InvalidInputError(message)
    theirs, mine = source.settings(), target.settings()
    if source.lineage == target.lineage:
        message = f"lineage {source.lineage!r} cannot be lent to itself: it would count its own decisions twice"
        raise LineageError(message)
    if (theirs.schema_hash, theirs.d) != (mine.schema_hash, mine.d):
        message = (
            f"lineage {source.lineage!r} has contexts of d = {theirs.d}, schema {theirs.schema_hash}, "
            f"{target.lineage!r} of d = {mine.d}, schema {mine.schema_hash}: only equal contexts can be lent"
        )
        raise LineageError(message)
    lent: dict[str, float] = {}
    for category in source.categories():
        state = source.state(category)
        if not state.empty:
            seed = _seed(state, source.lineage, mine.d, weight)
            target.put_seed(category, encode_statistics(seed))
            lent[category] = float(seed.n.sum())
    return lent


def _seed(state: CategoryState, lineage: str, d: int, weight: float) -> StatisticsBlob:
    stored = [*([state.base] if state.base is not None else []), *(blob for _, blob in state.deltas.values())]
    blobs = [decode_statistics(blob) for blob in stored]
    sums = total(blobs, d).discount(weight)
    return replace(
        blobs[0],
        lineage=lineage,
        version=sum(blob.version for blob in blobs),
        window=-1,
        shard=-1,
        through=-1,
        arms=sums.arms,
        n=sums.n,
        reward=sums.reward,
        gram=sums.gram,
        moment=sums.moment,
        counts={},
    )
