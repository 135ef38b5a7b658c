"""Publishing: deltas into the store, due windows into the base, packs out of both (design, idea 7). No Beam here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from beam_pipelines.learn.closing import PackInputs, close_windows, make_pack
from beam_pipelines.learn.publication import Publication
from contracts import LineageError, LineageSettings, StatisticsBlob, decode_statistics, encode_statistics
from learner import ModelSettings
from stores.statistics import CategoryState, Delta, StatisticsStore


@dataclass(frozen=True, slots=True)
class _Held:
    """A category as last read, and its blobs decoded (field -> version, statistics)."""

    state: CategoryState
    base: StatisticsBlob | None
    deltas: dict[str, tuple[int, StatisticsBlob]]


class Publisher:
    """Writes one lineage; remembers what it last saw of each category, so that a dataset gone back is noticed.

    Several threads may use it, each category in one at a time.
    """

    def __init__(
        self,
        store: StatisticsStore,
        settings: LineageSettings,
        *,
        model: ModelSettings,
        inputs_of: Callable[[str], PackInputs],
    ) -> None:
        """Write to ``store``; ``inputs_of`` a category is asked for each pack."""
        self._store = store
        self._settings = settings
        self._model = model
        self._inputs_of = inputs_of
        self._through: dict[str, int] = {}
        self._held: dict[str, _Held] = {}

    def put(self, category: str, publications: Sequence[Publication]) -> None:
        """Offer deltas to the store.

        Raises:
            LineageError: if Redis holds another dataset than before.
        """
        deltas = [Delta(found.window, found.shard, found.version, found.blob) for found in publications]
        self._saw(category, self._store.put_deltas(category, deltas))

    def close(self, category: str, finals: Sequence[Publication]) -> None:
        """Close the windows of ``finals`` (all shards that have any) that are not closed yet, ascending.

        Raises:
            LineageError: if Redis holds another dataset than before.
            NumericalError: if the base has left the range of exact sums.
        """
        while True:
            held = self._read(category)
            due: dict[int, list[StatisticsBlob]] = {}
            for final in sorted(finals, key=lambda found: (found.window, found.shard)):
                if final.window > held.state.through:
                    due.setdefault(final.window, []).append(decode_statistics(final.blob))
            if not due:
                return
            base = close_windows(held.base, due, self._settings, self._store.lineage, category)
            if self._store.close(
                category,
                seen=held.state.through,
                through=base.through,
                facts=base.version,
                base=encode_statistics(base),
            ):
                self._saw(category, base.through)
                return

    def publish_pack(self, category: str) -> bool:
        """Compute the pack from what is stored and store it iff it is newer; False if it was not."""
        held = self._read(category)
        inputs = self._inputs_of(category)
        if held.state.empty and inputs.seed is None:
            return False
        blobs = [*([held.base] if held.base is not None else []), *(blob for _, blob in held.deltas.values())]
        pack = make_pack(
            blobs,
            self._settings,
            self._store.lineage,
            generation=held.state.generation,
            model=self._model,
            inputs=inputs,
        )
        return self._store.put_pack(category, held.state.generation, pack)

    def _read(self, category: str) -> _Held:
        last = self._held.get(category) or _Held(CategoryState(), None, {})
        state = self._store.state(category, last.state)
        self._saw(category, state.through)
        base = last.base
        if state.base is not last.state.base:
            base = None if state.base is None else decode_statistics(state.base)
        deltas = {
            name: last.deltas[name]
            if name in last.deltas and last.deltas[name][0] == version
            else (version, decode_statistics(blob))
            for name, (version, blob) in state.deltas.items()
        }
        held = _Held(state, base, deltas)
        self._held[category] = held
        return held

    def _saw(self, category: str, through: int) -> None:
        before = self._through.get(category, -1)
        if through < before:
            message = (
                f"category {category!r} was closed through {before}, now only through {through}: "
                "Redis holds an older dataset, so start again from the stored low watermark"
            )
            raise LineageError(message)
        self._through[category] = through
