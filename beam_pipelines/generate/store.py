"""The last stages: pictures into the object store, their rows into the manifest, dead letters beside it."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from beam_pipelines.generate.elements import Done, Painted
from beam_pipelines.generate.manifest import DeadLetterRow, ManifestRow, content_type_of, write_dead, write_part
from beam_pipelines.generate.settings import StageSettings
from beam_pipelines.generate.tally import LEFT, MADE, count, observe, tally, timed
from stores import ObjectStore

DEAD, ROWS = "dead", "rows"
# A file is on the disk before it has its name: several wait for the disk at once.
_WRITES_AT_ONCE = 8


def store_pictures(
    objects: ObjectStore, made: Sequence[tuple[ManifestRow, bytes]], progress: str
) -> tuple[ManifestRow, ...]:
    """Store pictures that are not there yet and count them; returns their rows.

    Raises:
        StoreError: if the object store fails.
    """

    def put(each: tuple[ManifestRow, bytes]) -> bool:
        row, data = each
        return objects.put_if_absent(row.path, data, content_type_of(row))

    with timed("store"), ThreadPoolExecutor(_WRITES_AT_ONCE) as threads:
        fresh = list(threads.map(put, made))
    count("made", sum(fresh))
    count("existed", len(fresh) - sum(fresh))
    for row, data in made:
        count("retried", row.attempt)
        count("rejected", int(row.flagged))
        observe("picture_bytes", len(data))
    tally(progress, MADE, len(made))
    return tuple(row for row, _ in made)


class StorePictures(beam.DoFn):
    """``Painted`` (bytes) -> ``Done`` (bytes), each picture stored before its row is passed on.

    A product of which a picture could not be made goes to the output ``DEAD``, too, with the first reason (JSON).
    """

    def __init__(self, settings: StageSettings) -> None:
        """Keep the settings; the store is opened in ``setup``."""
        self._settings = settings

    def setup(self) -> None:
        """Open the store, once a worker."""
        self._objects = self._settings.objects()

    def process(self, element: bytes) -> Iterator[Any]:
        """Store the pictures of one product."""
        painted = Painted.from_bytes(element)
        made = list(zip(painted.made, painted.files, strict=True))
        rows = store_pictures(self._objects, made, self._settings.progress) if made else ()
        done = painted.done
        yield Done(done.item_id, (*done.rows, *rows), done.shown).to_bytes()
        if painted.failed:
            tally(self._settings.progress, LEFT, len(painted.failed))
            reason, detail = painted.failed[0]
            more = len(painted.failed) - 1
            letter = DeadLetterRow(done.item_id, reason, f"{detail} (and {more} more pictures)" if more else detail)
            yield beam.pvalue.TaggedOutput(DEAD, json.dumps(asdict(letter)).encode())


class WriteRows(beam.DoFn):
    """Collects manifest rows into Parquet parts of about ``rows_per_part``; passes each product on after its rows."""

    def __init__(self, settings: StageSettings) -> None:
        """Keep the settings."""
        self._settings = settings

    def setup(self) -> None:
        """Open the store, once a worker."""
        self._objects = self._settings.objects()

    def start_bundle(self) -> None:
        """Begin with no row."""
        self._waiting: list[bytes] = []
        self._rows: list[ManifestRow] = []

    def process(self, element: bytes) -> Iterator[bytes]:
        """Take one product (``Done``); write a part when it is full."""
        rows = Done.from_bytes(element).rows
        if not rows:
            yield element
            return
        self._rows += rows
        self._waiting.append(element)
        if len(self._rows) >= self._settings.rows_per_part:
            yield from self._write()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Write what is left."""
        for element in self._write():
            yield WindowedValue(element, MIN_TIMESTAMP, (GlobalWindow(),))

    def _write(self) -> list[bytes]:
        if self._rows:
            write_part(self._objects, self._rows)
            count("parts")
        written, self._waiting, self._rows = self._waiting, [], []
        return written


class WriteDead(beam.DoFn):
    """Counts each dead letter (JSON) and writes it as a Parquet part of its own: they are few. Dry runs only count."""

    def __init__(self, settings: StageSettings) -> None:
        """Keep the settings."""
        self._settings = settings

    def process(self, element: bytes) -> None:
        """Write one."""
        letter = DeadLetterRow(**json.loads(element))
        count(f"dead_{letter.reason}")
        if not self._settings.dry_run:
            write_dead(self._settings.objects(), [letter])
