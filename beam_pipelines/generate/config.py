"""What a generation run is told and what it tells back; plain data that passes between processes as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

from contracts import InvalidInputError
from generation import SegmenterModel, segmenter_model


@dataclass(frozen=True, slots=True)
class GenerateConfig:
    """A generation run; paths as text.

    ``objects_uri`` is where pictures and manifest go (a folder or gs://), ``media_base_url`` where shoppers find
    them, ``redis_url`` the creative index ("" publishes nothing). ``only`` keeps products whose item id or
    category is named, and prompts whose arm is named, if any is; ``limit`` keeps the first products (0: all).
    ``segmenter`` names the network (``generation.SEGMENTERS``) in the file ``weights``, whose checksum is
    ``segmenter_checksum`` ("": the known one).
    ``gate`` are the quality gate's options (``generation.GateSettings``).
    ``workers`` is the number of processes; ``rows_per_part`` how many pictures a manifest file holds at most;
    ``runner_options`` are Beam's own flags, used in place of the in-process runner when they name a runner. Photos
    at addresses that are not public are fetched only from ``private_hosts``.
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
    rows_per_part: int = 64
    runner_options: tuple[str, ...] = ()
    private_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse numbers that cannot work.

        Raises:
            InvalidInputError: naming the field, its value and the limit.
        """
        for name, lowest in (("workers", 1), ("attempts", 1), ("limit", 0), ("rows_per_part", 1)):
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
    """How far a run is: pictures done of those planned (0 of 0 while planning), and what it is doing."""

    done: int
    planned: int
    phase: str


@dataclass(frozen=True, slots=True)
class GenerateReport:
    """What a run did, in pictures; ``dead_letters`` counts products by reason.

    ``planned`` are those that did not exist, ``made`` those written, ``skipped`` those that existed, ``retried``
    the extra attempts, ``rejected`` the pictures whose every attempt the quality gate refused (kept and flagged,
    not published), ``published`` the references in the creative index.
    """

    planned: int
    made: int
    skipped: int
    retried: int
    rejected: int
    published: int
    dead_letters: Mapping[str, int]

    def to_json(self) -> str:
        """Write as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "GenerateReport":
        """Read what ``to_json`` wrote."""
        return cls(**json.loads(text))
