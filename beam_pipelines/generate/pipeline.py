"""The graph: chunks of products to pictures, manifest, dead letters and creative index."""

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference

from beam_pipelines.generate.paint import PictureHandler
from beam_pipelines.generate.prepare import DEAD, PHOTOS_AT_ONCE, READY, SETTLED, CountPlans, Prepare, ReadChunks
from beam_pipelines.generate.publish import Publish
from beam_pipelines.generate.settings import StageSettings
from beam_pipelines.generate.store import ROWS, StorePictures, WriteDead, WriteRows


@dataclass
class GenerateCreatives(beam.PTransform[Any, Any]):
    """Paths of chunks -> pictures, manifest parts, dead letters and references.

    All stages behind the reshuffle are one where the runner can fuse them: a product's pictures and rows are written
    when it is done, not when all are. Not frozen: Beam sets attributes of its own on a transform.
    """

    settings: StageSettings

    def expand(self, pcoll: Any) -> Any:
        """Build the stages."""
        settings = self.settings
        prepared = _products(pcoll, settings) | "Prepare" >> _par_do(Prepare(settings)).with_outputs(
            DEAD, SETTLED, main=READY
        )
        ready = prepared[READY]
        if settings.hints:
            # Workers with an accelerator are to do nothing else: what they get is spread over them anew.
            ready = ready | "SpreadToModels" >> _reshuffle()
        stored = (
            ready
            | "Paint" >> RunInference(PictureHandler(settings))
            | "Store" >> _par_do(StorePictures(settings)).with_outputs(DEAD, main=ROWS)
        )
        # Not flattened: a runner may wait for all of both branches before it goes on.
        for name, dead in (("Unusable", prepared[DEAD]), ("Failed", stored[DEAD])):
            _ = dead | f"Write{name}" >> _par_do(WriteDead(settings))
        for name, done in (("Settled", prepared[SETTLED]), ("Made", stored[ROWS])):
            written = done | f"WriteRowsOf{name}" >> _par_do(WriteRows(settings))
            if settings.redis_url:
                _ = written | f"Publish{name}" >> _par_do(Publish(settings))
        return prepared[SETTLED]


@dataclass
class CountPictures(beam.PTransform[Any, Any]):
    """Paths of chunks -> counters of what would be made, and nothing else."""

    settings: StageSettings

    def expand(self, pcoll: Any) -> Any:
        """Build the stages."""
        dead = _products(pcoll, self.settings) | "CountPlans" >> _par_do(CountPlans(self.settings))
        return dead | "CountDead" >> _par_do(WriteDead(self.settings))


def _products(paths: Any, settings: StageSettings) -> Any:
    """Products, spread over all workers, in lists whose photos are fetched at once."""
    batches: Any = beam.BatchElements
    return (
        paths
        | "ReadChunks" >> _par_do(ReadChunks(settings)).with_output_types(bytes)
        | "Spread" >> _reshuffle()
        | "PhotosAtOnce" >> batches(min_batch_size=PHOTOS_AT_ONCE, max_batch_size=PHOTOS_AT_ONCE)
    )


def _par_do(stage: beam.DoFn) -> Any:
    par_do: Any = beam.ParDo
    return par_do(stage)


def _reshuffle() -> Any:
    reshuffle: Any = beam.Reshuffle
    return reshuffle()
