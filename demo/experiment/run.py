"""The run itself: choose, generate, look at what came of it."""

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from beam_pipelines.generate import GenerateConfig, GenerateReport, Progress, run
from beam_pipelines.generate.manifest import ManifestRow, read_manifest
from contracts import CreativeSpec, Placement, Product
from demo.experiment.config import ExperimentConfig, chosen
from demo.experiment.rates import factors_of
from demo.experiment.variation import Looked, Subject, look_at
from generation import (
    Backend,
    PhotoError,
    PromptBook,
    RembgSegmenter,
    RenderRequest,
    composite,
    cut_out,
    decode_photo,
    encode,
    open_backend,
    place,
    prompt_of,
    read_catalogue,
    read_photo_bytes,
    read_prompts,
    specs_of,
)
from stores import ObjectStore, open_objects

# Far from the seeds of the attempts.
_OTHER_SEED = 1_000


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did and found; ``cpu_s`` is of the job and its workers, both times of this run alone."""

    config: ExperimentConfig
    products: tuple[Product, ...]
    generated: GenerateReport
    wall_s: float
    cpu_s: float
    rows: tuple[ManifestRow, ...]
    wanted: int
    factors: tuple[str, ...]
    looked: Looked

    @property
    def objects(self) -> ObjectStore:
        """Where the pictures are."""
        return objects_of(self.config)


def objects_of(config: ExperimentConfig) -> ObjectStore:
    """The experiment's object store."""
    return open_objects(str(config.home / "objects"))


def run_experiment(config: ExperimentConfig, progress: Callable[[Progress], None] | None = None) -> Result:
    """Make the pictures that are missing, then read all of them again and compare.

    Raises:
        BackdropError: what the generation job raised; InvalidInputError for words that cannot be used.
    """
    book = read_prompts(config.catalogue / "prompts.yaml")
    products = chosen(read_catalogue(config.catalogue / "products.parquet", book.prompts).products, config.products)
    slots = config.slots()
    config.home.mkdir(parents=True, exist_ok=True)
    wall, cpu = time.perf_counter(), _cpu_s()
    generated = run(_job(config, products, slots), progress)
    wall, cpu = time.perf_counter() - wall, _cpu_s() - cpu
    backend, objects = open_backend(config.backend, config.backend_options), objects_of(config)
    specs = _specs(config, products, book, slots, backend)
    manifest = read_manifest(objects)
    rows = tuple(manifest[spec.creative_id] for spec in specs if spec.creative_id in manifest)
    factors = factors_of(rows)
    looked = look_at(_subjects(config, products, specs, manifest, backend), factors)
    wanted = sum(len(slots) * (1 + len(book.of(product.category))) for product in products)
    return Result(config, products, generated, wall, cpu, rows, wanted, factors, looked)


def _job(config: ExperimentConfig, products: Sequence[Product], slots: Sequence[Placement]) -> GenerateConfig:
    placements = config.home / "placements.yaml"
    known = yaml.safe_load((config.catalogue / "placements.yaml").read_text(encoding="utf-8"))
    names = [slot.placement for slot in slots]
    known["placements"] = [each for each in known["placements"] if each["placement"] in names]
    placements.write_text(yaml.safe_dump(known), encoding="utf-8")
    return GenerateConfig(
        catalogue=str(config.catalogue / "products.parquet"),
        prompts=str(config.catalogue / "prompts.yaml"),
        placements=str(placements),
        objects_uri=str(config.home / "objects"),
        weights=str(config.weights),
        backend=config.backend,
        backend_options=config.backend_options,
        workers=config.workers,
        only=tuple(product.item_id for product in products),
    )


def _specs(
    config: ExperimentConfig,
    products: Sequence[Product],
    book: PromptBook,
    slots: Sequence[Placement],
    backend: Backend,
) -> tuple[CreativeSpec, ...]:
    specs: list[CreativeSpec] = []
    for product in products:
        try:
            photo = decode_photo(read_photo_bytes(product.image_uri, config.catalogue))
        except PhotoError:
            # The job has left this product out, and counted it.
            continue
        specs += specs_of(product, photo.sha256, book.of(product.category), slots, backend)
    return tuple(specs)


def _subjects(
    config: ExperimentConfig,
    products: Sequence[Product],
    specs: Sequence[CreativeSpec],
    manifest: Mapping[str, ManifestRow],
    backend: Backend,
) -> Iterator[Subject]:
    """The first products of each category in every slot; pictures that the gate refused are looked at, too."""
    segmenter, objects = RembgSegmenter(Path(config.weights)), objects_of(config)
    seen: dict[str, int] = {}
    for product in products:
        seen[product.category] = seen.get(product.category, 0) + 1
        mine = [spec for spec in specs if spec.item_id == product.item_id and not spec.is_original]
        there = [spec for spec in mine if spec.creative_id in manifest]
        if seen[product.category] > config.looked_at or not there:
            continue
        cutout = cut_out(decode_photo(read_photo_bytes(product.image_uri, config.catalogue)), segmenter)
        for slot in config.slots():
            here = [spec for spec in there if spec.placement == slot.placement]
            if not here:
                continue
            placed = place(cutout, slot)
            rows = tuple(manifest[spec.creative_id] for spec in here)
            requests = [RenderRequest(placed, prompt_of(here[0]), here[0].seed(_OTHER_SEED + i)) for i in range(2)]
            one, other = (encode(composite(each, placed), slot.format) for each in backend.render(requests))
            yield Subject(placed, rows, tuple(objects.get(row.path) for row in rows), (one, other))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
