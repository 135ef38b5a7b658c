"""What a generation run is told and what it tells back; plain data that passes between processes as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from contracts import InvalidInputError
from generation import SegmenterModel, segmenter_model

IN_PROCESS, PRISM, FLINK = "in-process", "prism", "flink"
RUNNERS = (IN_PROCESS, PRISM, FLINK)


@dataclass(frozen=True, slots=True)
class GenerateConfig:
    """A generation run; paths as text.

    ``objects_uri`` is where pictures and manifest go (a folder or gs://), ``media_base_url`` where shoppers find
    them, ``redis_url`` the creative index ("" publishes nothing). ``only`` keeps products whose item id or
    category is named, and prompts whose arm is named, if any is; ``limit`` keeps the first products (0: all).
    ``segmenter`` names the network (``generation.SEGMENTERS``) in the file ``weights``, whose checksum is
    ``segmenter_checksum`` ("": the known one).
    ``gate`` are the quality gate's options (``generation.GateSettings``).
    ``workers`` is the number of processes; ``batch`` how many pictures a backend is asked for at once;
    ``rows_per_part`` how many pictures a manifest file holds, to a product's worth. Photos at addresses that are not
    public are fetched only from ``private_hosts``.

    ``runner`` is one of ``RUNNERS``; ``runner_path`` is where Prism's program or Flink's folder of jars is. Beam's own
    flags ``runner_options`` (``--runner=DataflowRunner``, ...) take its place. The pipeline begins with chunks of
    ``chunk`` products; runners on this machine hold a pipeline's elements in memory and get ``wave`` chunks at a time,
    those of ``runner_options`` get all. ``min_ram`` and ``accelerator`` are Beam's resource hints of the model's
    stage ("" for none).
    """

    catalogue: str
    prompts: str
    placements: str
    objects_uri: str
    media_base_url: str = ""
    redis_url: str = ""
    weights: str = ".backdrop/weights/u2netp.onnx"
    segmenter: str = "u2netp"
    segmenter_checksum: str = ""
    allow_non_commercial: bool = False
    backend: str = "procedural"
    backend_options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    gate: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    workers: int = 2
    attempts: int = 3
    limit: int = 0
    only: tuple[str, ...] = ()
    dry_run: bool = False
    batch: int = 16
    rows_per_part: int = 64
    runner: str = IN_PROCESS
    runner_path: str = ""
    chunk: int = 1_000
    wave: int = 20
    min_ram: str = ""
    accelerator: str = ""
    runner_options: tuple[str, ...] = ()
    private_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse numbers that cannot work.

        Raises:
            InvalidInputError: naming the field, its value and the limit.
        """
        if self.runner not in RUNNERS:
            message = f"runner = {self.runner!r}: use one of {', '.join(RUNNERS)}"
            raise InvalidInputError(message)
        for name in ("workers", "attempts", "batch", "rows_per_part", "chunk", "wave", "limit"):
            lowest = 0 if name == "limit" else 1
            if getattr(self, name) < lowest:
                message = f"{name} = {getattr(self, name)}: must be at least {lowest}"
                raise InvalidInputError(message)

    @property
    def segmenter_model(self) -> SegmenterModel:
        """The segmenter that is meant.

        Raises:
            InvalidInputError: if it is unknown, its checksum is, or its licence was not agreed to.
        """
        return segmenter_model(self.segmenter, self.segmenter_checksum, allow_non_commercial=self.allow_non_commercial)

    def to_json(self) -> str:
        """Write as JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps(
            {**plain, "backend_options": dict(self.backend_options), "gate": dict(self.gate)}, sort_keys=True
        )

    @classmethod
    def from_json(cls, text: str) -> "GenerateConfig":
        """Read what ``to_json`` wrote."""
        plain = json.loads(text)
        for name in ("only", "runner_options", "private_hosts"):
            plain[name] = tuple(plain[name])
        return cls(**plain)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: pictures done of those planned (0 of 0 while planning), and what it is doing.

    ``planned`` shrinks while pictures are found to exist already, or to be impossible.
    """

    done: int
    planned: int
    phase: str


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """What a run has before it, in pictures; the same of a dry run and of the run itself.

    ``products`` have a photo that could be read, ``pictures`` are to be made of them (``painted`` of these by the
    backend, the others are untouched photos), ``existing`` exist already. ``pixels`` is the area of all to be made,
    ``by_placement`` and ``by_category`` count them.
    """

    products: int = 0
    pictures: int = 0
    painted: int = 0
    existing: int = 0
    pixels: int = 0
    by_placement: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    by_category: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class GenerateReport:
    """What a run did, in pictures; ``dead_letters`` counts products by reason.

    ``planned`` are those that did not exist, ``made`` those written, ``skipped`` those that existed, ``retried``
    the extra attempts, ``rejected`` the pictures whose every attempt the quality gate refused (kept and flagged,
    not published), ``published`` the references in the creative index; ``counts`` says the same before it begins.
    ``seconds`` is the time that all workers together spent on each kind of work (``cutout``, ``paint``, ``gate``, ...);
    reports of equal runs are equal whatever these took. So are they whatever ``upkeep`` there was: ``parts_merged``
    small manifest parts into ``merged_parts``, ``dead_runs_removed`` whose own objects were left in the store.
    """

    planned: int
    made: int
    skipped: int
    retried: int
    rejected: int
    published: int
    dead_letters: Mapping[str, int]
    counts: PlanCounts = field(default_factory=PlanCounts)
    seconds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    upkeep: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}), compare=False)

    def to_json(self) -> str:
        """Write as JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        counts = {name: getattr(self.counts, name) for name in self.counts.__dataclass_fields__}
        plain["counts"] = {**counts, **{name: dict(counts[name]) for name in ("by_placement", "by_category")}}
        named = {name: dict(plain[name]) for name in ("dead_letters", "seconds", "upkeep")}
        return json.dumps({**plain, **named}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "GenerateReport":
        """Read what ``to_json`` wrote."""
        plain = json.loads(text)
        return cls(**{**plain, "counts": PlanCounts(**plain["counts"])})
