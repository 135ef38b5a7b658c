"""The work on one product: photo, cut-out, pictures, objects; and the Beam stages round it."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics

from beam_pipelines.generate.lifeline import die_with_parent
from beam_pipelines.generate.manifest import DeadLetterRow, ManifestRow, path_of, write_dead, write_part
from beam_pipelines.generate.plan import Task
from contracts import InvalidInputError, StoreError
from generation import (
    Creative,
    MaskError,
    PhotoError,
    RembgSegmenter,
    Renderer,
    Segmenter,
    cut_out,
    decode_photo,
    file_format,
    open_backend,
    open_gate,
    read_photo_bytes,
)
from stores import ObjectStore, open_objects

NAMESPACE = "generate"
DEAD = "dead"
ROWS = "rows"
WORKER_MARK = "BACKDROP_GENERATE_WORKER"


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """What a worker needs to make pictures.

    ``progress`` is a folder ("" for none) where it counts them, ``gate`` are the quality gate's options.
    """

    objects_uri: str
    weights: str
    backend: str
    backend_options: Mapping[str, str]
    attempts: int
    rows_per_part: int
    progress: str = ""
    gate: Mapping[str, str] = field(default_factory=dict)


def make_creatives(task: Task, segmenter: Segmenter, renderer: Renderer, objects: ObjectStore) -> Iterator[Creative]:
    """The creatives of one product, as they are finished; the product is cut out once.

    Raises:
        InvalidInputError: if the photo cannot be used (``MaskError`` if it shows no product that can be cut out).
    """
    data = objects.get(task.kept) if task.kept else read_photo_bytes(task.image_uri, Path(task.folder))
    photo = decode_photo(data)
    cutout = cut_out(photo, segmenter)
    yield from renderer.originals(photo, [spec for spec in task.specs if spec.is_original])
    yield from renderer.painted(cutout, [spec for spec in task.specs if not spec.is_original])


def dead_letter(item_id: str, error: Exception) -> DeadLetterRow:
    """Why a product got no (more) pictures."""
    if isinstance(error, MaskError | PhotoError):
        return DeadLetterRow(item_id, error.reason, str(error))
    if isinstance(error, InvalidInputError):
        return DeadLetterRow(item_id, "bad_image", str(error))
    return DeadLetterRow(item_id, "render_failed", f"{type(error).__name__}: {error}")


class RenderProduct(beam.DoFn):
    """Task (JSON) -> manifest rows (JSON) of its creatives, each stored before its row is passed on.

    A product that cannot be used, for whatever reason, goes to the output ``DEAD`` as a dead letter (JSON). A
    store that fails ends the bundle with its error: the runner tries again, and what is stored stays.
    """

    def __init__(self, settings: RenderSettings) -> None:
        """Keep the settings; models and stores are opened in ``setup``."""
        self._settings = settings

    def setup(self) -> None:
        """Open what every product needs, once a worker."""
        if os.environ.get(WORKER_MARK):
            die_with_parent()
        settings = self._settings
        self._objects: ObjectStore = open_objects(settings.objects_uri, "")
        self._segmenter: Segmenter = RembgSegmenter(Path(settings.weights))
        backend = open_backend(settings.backend, settings.backend_options)
        self._renderer = Renderer(backend, settings.attempts, judge=open_gate(settings.gate, self._segmenter))

    def process(self, element: bytes) -> Iterable[Any]:
        """Make and store the pictures of one product."""
        task = Task.from_bytes(element)
        creatives = make_creatives(task, self._segmenter, self._renderer, self._objects)
        try:
            for creative in creatives:
                self._store(creative)
                yield json.dumps(asdict(ManifestRow.of(creative))).encode()
        except (StoreError, OSError):
            raise
        except Exception as error:
            # Whatever a model or an image library makes of one product must not cost the others theirs.
            letter = dead_letter(task.item_id, error)
            _count(f"dead_{letter.reason}")
            yield beam.pvalue.TaggedOutput(DEAD, json.dumps(asdict(letter)).encode())

    def _store(self, creative: Creative) -> None:
        fresh = self._objects.put_if_absent(
            path_of(creative.spec), creative.data, file_format(creative.spec.format).content_type
        )
        _count("made" if fresh else "existed")
        _count("retried", creative.attempt)
        _count("rejected", int(creative.flagged))
        sizes: Any = Metrics.distribution(NAMESPACE, "picture_bytes")
        sizes.update(len(creative.data))
        if self._settings.progress:
            with open(Path(self._settings.progress) / str(os.getpid()), "ab") as counted:
                counted.write(b".")


class WriteRows(beam.DoFn):
    """Collects manifest rows (JSON) into Parquet parts of at most ``rows_per_part``; emits the parts' paths."""

    def __init__(self, settings: RenderSettings) -> None:
        """Keep the settings."""
        self._settings = settings

    def start_bundle(self) -> None:
        """Begin with no row."""
        self._rows: list[ManifestRow] = []

    def process(self, element: bytes) -> Iterable[bytes]:
        """Take one row; write a part when it is full."""
        plain = json.loads(element)
        self._rows.append(ManifestRow(**{**plain, "reasons": tuple(plain["reasons"])}))
        if len(self._rows) >= self._settings.rows_per_part:
            self._write()
        return ()

    def finish_bundle(self) -> None:
        """Write what is left."""
        if self._rows:
            self._write()

    def _write(self) -> None:
        write_part(open_objects(self._settings.objects_uri, ""), self._rows)
        _count("parts")
        self._rows = []


class WriteDead(beam.DoFn):
    """Writes each dead letter (JSON) as a Parquet part of its own: they are few."""

    def __init__(self, settings: RenderSettings) -> None:
        """Keep the settings."""
        self._settings = settings

    def process(self, element: bytes) -> None:
        """Write one."""
        write_dead(open_objects(self._settings.objects_uri, ""), [DeadLetterRow(**json.loads(element))])


@dataclass
class GenerateCreatives(beam.PTransform[Any, Any]):
    """Tasks (JSON, bytes) -> pictures and manifest parts in the object store, dead letters beside them.

    Not frozen, because Beam sets attributes of its own on a transform when it is applied.
    """

    settings: RenderSettings

    def expand(self, pcoll: Any) -> Any:
        """Reshuffle, so that products spread over all workers, then render and write."""
        outputs = (
            pcoll
            | "Spread" >> _reshuffle()
            | "Render" >> _par_do(RenderProduct(self.settings)).with_outputs(DEAD, main=ROWS)
        )
        _ = outputs[DEAD] | "WriteDead" >> _par_do(WriteDead(self.settings))
        return outputs[ROWS] | "WriteRows" >> _par_do(WriteRows(self.settings))


def _par_do(stage: beam.DoFn) -> Any:
    par_do: Any = beam.ParDo
    return par_do(stage)


def _reshuffle() -> Any:
    reshuffle: Any = beam.Reshuffle
    return reshuffle()


def _count(name: str, by: int = 1) -> None:
    counter: Any = Metrics.counter(NAMESPACE, name)
    counter.inc(by)
