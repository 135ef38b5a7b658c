"""What is to be made: all specs of the catalogue minus those whose picture and manifest row exist."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from beam_pipelines.generate.config import GenerateConfig
from beam_pipelines.generate.manifest import DeadLetterRow, ManifestRow, path_of
from beam_pipelines.generate.photos import PhotoSource
from contracts import CreativeSpec, InvalidInputError, Product
from generation import (
    Backend,
    PhotoError,
    Prompt,
    PromptBook,
    cutout_recipe,
    read_catalogue,
    read_placements,
    read_prompts,
    specs_of,
)


@dataclass(frozen=True, slots=True)
class Task:
    """One product with the specs that are to be made of it: one element of the job.

    Its photo is the object ``kept`` or, if that is "", the file at ``image_uri`` (relative to ``folder``).
    """

    item_id: str
    image_uri: str
    folder: str
    kept: str
    specs: tuple[CreativeSpec, ...]

    def to_bytes(self) -> bytes:
        """Write as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Task":
        """Read what ``to_bytes`` wrote."""
        plain = json.loads(data)
        specs = tuple(
            CreativeSpec(
                **{**spec, "tags": tuple((name, tag) for name, tag in spec["tags"]), "safe": tuple(spec["safe"])}
            )
            for spec in plain["specs"]
        )
        return cls(**{**plain, "specs": specs})


@dataclass(frozen=True, slots=True)
class Plan:
    """All specs wanted (``wanted``), the tasks for those that are missing, and the rows that cannot be used."""

    wanted: tuple[CreativeSpec, ...]
    tasks: tuple[Task, ...]
    dead: tuple[DeadLetterRow, ...]

    @property
    def planned(self) -> int:
        """How many pictures are to be made."""
        return sum(len(task.specs) for task in self.tasks)

    @property
    def skipped(self) -> int:
        """How many exist already."""
        return len(self.wanted) - self.planned


def make_plan(
    config: GenerateConfig,
    backend: Backend,
    photos: PhotoSource,
    manifest: Mapping[str, ManifestRow],
    objects: Iterable[str],
) -> Plan:
    """Plan a run from the input files, the manifest by creative id, and the paths of existing objects.

    Raises:
        InvalidInputError: if an input file cannot be used, or ``only`` names nothing in it.
    """
    book = read_prompts(Path(config.prompts))
    placements = read_placements(Path(config.placements))
    catalogue = read_catalogue(Path(config.catalogue), book.prompts.keys())
    existing = frozenset(objects)
    dead = [DeadLetterRow(row.item_id, row.reason, row.detail) for row in catalogue.dead]
    chosen = _chosen(config, catalogue.products, book)
    cutout = cutout_recipe(config.segmenter_model)
    wanted: list[CreativeSpec] = []
    tasks: list[Task] = []
    for product, photo in photos.find_all(chosen, catalogue.folder):
        if isinstance(photo, PhotoError):
            dead.append(DeadLetterRow(product.item_id, photo.reason, str(photo)))
            continue
        specs = specs_of(product, photo.sha256, _prompts(config, book, product.category), placements, backend, cutout)
        missing = tuple(s for s in specs if s.creative_id not in manifest or path_of(s) not in existing)
        wanted += specs
        if missing:
            tasks.append(Task(product.item_id, product.image_uri, str(catalogue.folder), photo.kept, missing))
    return Plan(tuple(wanted), tuple(tasks), tuple(dead))


def _chosen(config: GenerateConfig, products: tuple[Product, ...], book: PromptBook) -> tuple[Product, ...]:
    names = frozenset(config.only)
    arms = {prompt.arm for prompts in book.prompts.values() for prompt in prompts}
    unknown = names - arms - {p.item_id for p in products} - {p.category for p in products}
    if unknown:
        message = (
            f"only = {sorted(unknown)}: no such item id, category or arm in {config.catalogue} and {config.prompts}"
        )
        raise InvalidInputError(message)
    of_products = names - arms
    kept = [p for p in products if not of_products or of_products & {p.item_id, p.category}]
    return tuple(kept[: config.limit] if config.limit else kept)


def _prompts(config: GenerateConfig, book: PromptBook, category: str) -> tuple[Prompt, ...]:
    prompts = book.of(category)
    every = {prompt.arm for each in book.prompts.values() for prompt in each}
    arms = frozenset(config.only) & every
    return tuple(p for p in prompts if p.arm in arms) if arms else prompts
