"""What the stages are told, and what each worker opens by it."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts import Placement, Prompt
from generation import PromptBook, RembgSegmenter, Segmenter, SegmenterModel, read_placements, read_prompts
from generation.arrays import Floats, Pixels
from stores import ObjectStore, open_objects


@dataclass(frozen=True, slots=True)
class StageSettings:
    """What a worker needs; plain values, so that it can be anywhere.

    ``plans_uri`` is the object store of this run's own objects: the chunks of products, and what exists (``existing``,
    paths). ``prompts`` and ``placements`` are the files' texts. Photos that are files are relative to ``folder``.
    ``arms`` are those to make (all if empty); ``whole`` takes arms that are no longer wanted out of the creative
    index. ``progress`` is a folder ("" for none) where work is tallied. ``shared`` keeps one model for all processes
    of a machine; ``hints`` are Beam's resource hints of the model's stage.
    """

    objects_uri: str
    media_base_url: str
    redis_url: str
    plans_uri: str
    existing: tuple[str, ...]
    prompts: str
    placements: str
    folder: str
    weights: str
    segmenter: SegmenterModel
    backend: str
    backend_options: Mapping[str, str]
    gate: Mapping[str, str]
    attempts: int
    batch: int
    rows_per_part: int
    arms: tuple[str, ...] = ()
    whole: bool = True
    dry_run: bool = False
    private_hosts: tuple[str, ...] = ()
    progress: str = ""
    shared: bool = False
    hints: Mapping[str, str] | None = None

    def open_segmenter(self) -> Segmenter:
        """What cuts products out; it is loaded when it is first asked."""
        return LazySegmenter(Path(self.weights), self.segmenter)

    def objects(self) -> ObjectStore:
        """The store of pictures, manifest and cut-outs."""
        return open_objects(self.objects_uri, self.media_base_url)

    def plans(self) -> ObjectStore:
        """The store of this run's own objects."""
        return open_objects(self.plans_uri)

    def inputs(self) -> "Inputs":
        """Prompts and placements, as the driver found them when the run began."""
        with tempfile.TemporaryDirectory() as name:
            prompts, placements = Path(name) / "prompts.yaml", Path(name) / "placements.yaml"
            prompts.write_text(self.prompts)
            placements.write_text(self.placements)
            return Inputs(read_prompts(prompts), read_placements(placements), frozenset(self.arms))


@dataclass(frozen=True, slots=True)
class Inputs:
    """What pictures there are to be: prompts, of which only ``arms`` (all if empty), and placements."""

    book: PromptBook
    placements: tuple[Placement, ...]
    arms: frozenset[str]

    def prompts(self, category: str) -> tuple[Prompt, ...]:
        """The prompts of a category that are wanted."""
        return tuple(prompt for prompt in self.book.of(category) if not self.arms or prompt.arm in self.arms)

    def pictures(self, category: str) -> int:
        """How many pictures a product of the category has, its untouched photos among them."""
        return len(self.placements) * (len(self.prompts(category)) + 1)


class LazySegmenter:
    """A segmenter that is loaded when it is first asked: a run that finds all its cut-outs never does."""

    def __init__(self, weights: Path, model: SegmenterModel) -> None:
        """Load nothing yet."""
        self._weights = weights
        self._model = model
        self._loaded: Segmenter | None = None

    def mask(self, rgb: Pixels) -> Floats:
        """A coarse mask f32[h, w], 0 to 1, of a photo u8[h, w, 3]."""
        if self._loaded is None:
            self._loaded = RembgSegmenter(self._weights, model=self._model)
        return self._loaded.mask(rgb)
