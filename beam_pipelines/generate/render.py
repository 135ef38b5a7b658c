"""The work on one product: photo, cut-out, pictures, objects; and the Beam stages round it."""

import ctypes
import json
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics import Metrics

from beam_pipelines.generate.manifest import DeadLetterRow, ManifestRow, path_of, write_dead, write_part
from beam_pipelines.generate.plan import Task
from contracts import BackdropError, StoreError
from generation import (
    CONTENT_TYPE,
    Creative,
    MaskError,
    RembgSegmenter,
    Renderer,
    Segmenter,
    cut_out,
    decode_photo,
    open_backend,
    read_photo_bytes,
)
from stores import ObjectStore, open_objects

NAMESPACE = "generate"
DEAD = "dead"
_PR_SET_PDEATHSIG = 1


def make_creatives(task: Task, segmenter: Segmenter, renderer: Renderer) -> Iterator[Creative]:
    """The creatives of one product, as they are finished; the product is cut out once.

    Raises:
        InvalidInputError: if the photo cannot be used (``MaskError`` if it shows no product that can be cut out).
    """
    photo = decode_photo(read_photo_bytes(task.image_uri, Path(task.folder)))
    cutout = cut_out(photo, segmenter)
    yield from renderer.originals(photo, [spec for spec in task.specs if spec.is_original])
    yield from renderer.painted(cutout, [spec for spec in task.specs if not spec.is_original])


class RenderProduct(beam.DoFn):  # type: ignore[misc]
    """Task -> manifest rows (JSON); a product that cannot be used goes to the output ``DEAD``."""
