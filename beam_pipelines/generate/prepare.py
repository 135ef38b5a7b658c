"""The first stage: find and hash the photo, take what exists off the specs, cut the product out once a photo."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from beam_pipelines.generate.elements import Done, Example, Item
from beam_pipelines.generate.existing import Existing, open_existing
from beam_pipelines.generate.intake import read_chunk
from beam_pipelines.generate.lifeline import follow_parent
from beam_pipelines.generate.manifest import DeadLetterRow, ManifestRow
from beam_pipelines.generate.photos import Found, PhotoSource
from beam_pipelines.generate.plan import ProductPlan, count_plan, plan_product
from beam_pipelines.generate.settings import Inputs, StageSettings
from beam_pipelines.generate.store import store_pictures
from beam_pipelines.generate.tally import LEFT, count, tally, timed
from contracts import BackdropError, InvalidInputError, Product, StoreError
from generation import (
    Backend,
    FetchLimits,
    MaskError,
    Photo,
    PhotoError,
    PhotoFetcher,
    Segmenter,
    cut_out,
    cutout_name,
    cutout_recipe,
    decode_photo,
    encode_cutout,
    open_backend,
    originals,
)
from stores import ObjectStore

DEAD, SETTLED, READY = "dead", "settled", "ready"
PHOTOS_AT_ONCE = 16


class ReadChunks(beam.DoFn):
    """Path of a chunk -> its products (``Item``, bytes)."""

    def __init__(self, settings: StageSettings) -> None:
        """Keep the settings."""
        self._settings = settings

    def process(self, element: str) -> Iterator[bytes]:
        """Read one chunk."""
        return (item.to_bytes() for item in read_chunk(self._settings.plans(), element))


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans products, many photos at once; ``recipe`` is that of their cut-outs."""

    photos: PhotoSource
    folder: Path
    inputs: Inputs
    backend: Backend
    recipe: str
    existing: Existing

    @classmethod
    def open(cls, settings: StageSettings, objects: ObjectStore | None) -> "Planner":
        """Open what planning needs; photos that had to be fetched are kept in ``objects``."""
        fetcher = PhotoFetcher(FetchLimits(private_hosts=settings.private_hosts))
        return cls(
            PhotoSource(objects, fetcher),
            Path(settings.folder),
            settings.inputs(),
            open_backend(settings.backend, settings.backend_options),
            cutout_recipe(settings.segmenter),
            open_existing(settings.plans(), settings.existing),
        )

    def plans(self, items: Iterable[Item]) -> Iterator[tuple[Product, tuple[Found, ProductPlan] | PhotoError]]:
        """Each product with its photo and plan, or why it has none; what is planned is counted.

        Raises:
            StoreError: if the object store fails.
        """
        for item, found in self.photos.find_items(items, self.folder):
            if isinstance(found, PhotoError):
                yield item.product, found
                continue
            with timed("plan"):
                plan = plan_product(item.product, found.sha256, self.inputs, self.backend, self.recipe, self.existing)
            count_plan(plan, item.product.category)
            yield item.product, (found, plan)


class CountPlans(beam.DoFn):
    """Products (a list of ``Item``, bytes) -> dead letters; all else is in the counters. For dry runs."""

    def __init__(self, settings: StageSettings) -> None:
        """Keep the settings."""
        self._settings = settings

    def setup(self) -> None:
        """Open what planning needs; nothing is written, fetched photos are not kept."""
        self._planner = Planner.open(self._settings, None)

    def process(self, element: Sequence[bytes]) -> Iterator[bytes]:
        """Plan some products."""
        for product, planned in self._planner.plans(Item.from_bytes(data) for data in element):
            if isinstance(planned, PhotoError):
                yield _letter(product, planned)
            else:
                yield from (_plain(row.item_id, row.reason, row.detail) for row in planned[1].refused)


class Prepare(beam.DoFn):
    """Products (a list of ``Item``, bytes) -> ``Example`` (bytes) of those that need painting.

    Others go to the output ``SETTLED`` (``Done``, bytes). A product that cannot be used goes to ``DEAD`` with its
    reason (JSON). A store that fails ends the bundle with its error: the runner tries again, what is stored stays.
    """

    def __init__(self, settings: StageSettings) -> None:
        """Keep the settings; stores and models are opened in ``setup``."""
        self._settings = settings

    def setup(self) -> None:
        """Open what every product needs, once a worker."""
        follow_parent()
        self._objects = self._settings.objects()
        self._planner = Planner.open(self._settings, self._objects)
        self._segmenter: Segmenter = self._settings.open_segmenter()

    def process(self, element: Sequence[bytes]) -> Iterator[Any]:
        """Plan some products, cut out those that need it."""
        for product, planned in self._planner.plans(Item.from_bytes(data) for data in element):
            if isinstance(planned, PhotoError):
                tally(self._settings.progress, LEFT, self._planner.inputs.pictures(product.category))
                yield _tagged(DEAD, _letter(product, planned))
                continue
            found, plan = planned
            yield from (_tagged(DEAD, _plain(row.item_id, row.reason, row.detail)) for row in plan.refused)
            left_out = plan.existing + len(plan.refused) * len(self._planner.inputs.placements)
            tally(self._settings.progress, LEFT, left_out)
            try:
                ready = self._ready(product, found, plan)
            except (StoreError, OSError):
                raise
            except Exception as error:
                # Whatever a model or an image library makes of one product must not cost the others theirs.
                tally(self._settings.progress, LEFT, len(plan.missing))
                yield _tagged(DEAD, _letter(product, error))
                yield _tagged(SETTLED, Done(product.item_id, (), plan.shown).to_bytes())
                continue
            if ready.specs:
                yield ready.to_bytes()
            else:
                yield _tagged(SETTLED, ready.done.to_bytes())

    def _ready(self, product: Product, found: Found, plan: ProductPlan) -> Example:
        """Cut out and store what needs only the photo; the photo is read only if there is anything to do with it."""
        path = f"cutouts/{found.sha256[:2]}/{cutout_name(found.sha256, self._planner.recipe)}"
        must_cut = bool(plan.painted) and not self._objects.exists(path)
        rows: tuple[ManifestRow, ...] = ()
        if must_cut or plan.originals:
            with timed("photo"):
                photo = decode_photo(self._planner.photos.read(product.image_uri, found, self._planner.folder))
            if must_cut:
                self._cut(photo, path)
            made = [(ManifestRow.of(each), each.data) for each in originals(photo, plan.originals)]
            rows = store_pictures(self._objects, made, self._settings.progress)
        return Example(path, plan.painted, Done(product.item_id, rows, plan.shown))

    def _cut(self, photo: Photo, path: str) -> None:
        with timed("cutout"):
            data = encode_cutout(cut_out(photo, self._segmenter))
        count("cutouts")
        self._objects.put_if_absent(path, data, "image/png")


def letter_of(item_id: str, error: Exception) -> DeadLetterRow:
    """Why a product got no (more) pictures."""
    if isinstance(error, MaskError | PhotoError):
        return DeadLetterRow(item_id, error.reason, str(error))
    if isinstance(error, InvalidInputError):
        return DeadLetterRow(item_id, "bad_image", str(error))
    detail = str(error) if isinstance(error, BackdropError) else f"{type(error).__name__}: {error}"
    return DeadLetterRow(item_id, "render_failed", detail)


def _letter(product: Product, error: Exception) -> bytes:
    return json.dumps(asdict(letter_of(product.item_id, error))).encode()


def _plain(item_id: str, reason: str, detail: str) -> bytes:
    return json.dumps(asdict(DeadLetterRow(item_id, reason, detail))).encode()


def _tagged(tag: str, value: bytes) -> Any:
    return beam.pvalue.TaggedOutput(tag, value)
