"""The model's stage: RunInference with a handler of our own, products in, finished pictures out, as bytes."""

from collections.abc import Iterable, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler
from apache_beam.utils import shared

from beam_pipelines.generate.elements import Example, Painted
from beam_pipelines.generate.lifeline import follow_parent
from beam_pipelines.generate.manifest import ManifestRow
from beam_pipelines.generate.settings import StageSettings
from beam_pipelines.generate.tally import NAMESPACE, observe_seconds, timed
from contracts import StoreError
from generation import (
    Creative,
    Failure,
    Finisher,
    PaintError,
    SteadyPainter,
    Wanted,
    decode_cutout,
    open_backend,
    open_gate,
    placed_once,
)
from stores import ObjectStore

# Products whose pictures are painted together: enough of one size to fill a model's batch.
_PRODUCTS = 4


class Bench:
    """What a process finishes pictures with, whoever paints them: cut-outs, gate, encoder. Made once a process."""

    def __init__(self, settings: StageSettings) -> None:
        """Open the store and the gate's models."""
        self.objects: ObjectStore = settings.objects()
        gate = open_gate(settings.gate, settings.open_segmenter())
        self.finisher = Finisher(settings.attempts, settings.batch, gate, observe_seconds)


class PictureHandler(ModelHandler[bytes, bytes, SteadyPainter]):
    """``Example`` (bytes) -> ``Painted`` (bytes).

    The model only paints backgrounds. Placing, compositing, judging and encoding are done by the process that asks,
    so that a model shared by several processes (``settings.shared``) paints for one while others do the rest. What
    one picture lacks is in its product's result: neither a broken product nor a full memory ends the batch.
    """

    def __init__(self, settings: StageSettings) -> None:
        """Keep the settings; nothing is loaded before ``load_model``."""
        # How long products take differs too much for a batch size to be learned from.
        products = _PRODUCTS if settings.shared else 1
        super().__init__(min_batch_size=products, max_batch_size=products)
        self._settings = settings
        shared_once: Any = shared.Shared
        self._bench = shared_once()

    def load_model(self) -> SteadyPainter:
        """The backend, which makes a failing batch smaller until the request that fails is alone."""
        follow_parent()
        return SteadyPainter(open_backend(self._settings.backend, self._settings.backend_options))

    def run_inference(
        self, batch: Sequence[bytes], model: SteadyPainter, inference_args: dict[str, Any] | None = None
    ) -> Iterable[bytes]:
        """The pictures of some products, painted together.

        Raises:
            StoreError: if a cut-out cannot be read: the runner tries again.
        """
        del inference_args
        bench: Bench = self._bench.acquire(lambda: Bench(self._settings))
        examples = [Example.from_bytes(data) for data in batch]
        finished: dict[str, list[Creative | Failure]] = {example.done.item_id: [] for example in examples}
        wanted: list[Wanted] = []
        for example in examples:
            placed = _placed(example, bench.objects)
            if isinstance(placed, PaintError):
                finished[example.done.item_id] += [Failure(spec, placed) for spec in example.specs]
            else:
                wanted += placed
        # A model takes pictures of one size together, and encodes each product once if its pictures are neighbours.
        wanted.sort(key=lambda each: (each.spec.width, each.spec.height))
        for done in bench.finisher.finished(wanted, model.paint):
            finished[done.spec.item_id].append(done)
        return [_painted(example, finished[example.done.item_id]).to_bytes() for example in examples]

    def get_num_bytes(self, batch: Sequence[bytes]) -> int:
        """Length of the examples; Beam's own way would pickle each batch to find out."""
        return sum(map(len, batch))

    def get_metrics_namespace(self) -> str:
        """That of the other stages."""
        return NAMESPACE

    def get_resource_hints(self) -> dict[str, str]:
        """Memory and accelerator that the stage's workers must have, if the settings say so."""
        return dict(self._settings.hints or {})

    def share_model_across_processes(self) -> bool:
        """A GPU holds one model for all processes of its machine; on CPUs each process has its own."""
        return self._settings.shared


def _placed(example: Example, objects: ObjectStore) -> list[Wanted] | PaintError:
    try:
        with timed("place"):
            return placed_once(decode_cutout(objects.get(example.cutout)), example.specs)
    except StoreError:
        raise
    except Exception as error:
        return PaintError.of(error)


def _painted(example: Example, finished: Sequence[Creative | Failure]) -> Painted:
    made = [each for each in finished if isinstance(each, Creative)]
    failed = [each.error for each in finished if isinstance(each, Failure)]
    return Painted(
        example.done,
        tuple(ManifestRow.of(each) for each in made),
        tuple(each.data for each in made),
        tuple((error.reason, error.detail) for error in failed),
    )
