"""Products, prompts, placements, and the creatives made of them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

from contracts.ids import ORIGINAL_ARM


@dataclass(frozen=True, slots=True)
class Product:
    """One row of the catalogue; ``price`` in the shop's currency, ``image_uri`` a path, file:, http(s): or gs: URI.

    ``attributes`` are what else the feed says of it that prompts may use: (name, value), by name.
    """

    item_id: str
    category: str
    title: str
    description: str
    price: float
    brand: str
    image_uri: str
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """One arm of a category: what to paint around the product; ``tags`` name surface, scene, light and mood.

    In a prompt file ``text`` and ``negative`` may hold placeholders (``{colour}``), and factors of other names are
    tags, too; ``product_words`` are kept out of what fills the placeholders.
    """

    arm: str
    category: str
    text: str
    negative: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    product_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """A slot on a page: ``width`` × ``height`` in pixels.

    ``safe`` are the shares of the slot at its left, top, right and bottom edge that the product keeps clear of (for
    words, buttons, round corners); ``format`` is that of its pictures: ``jpeg``, ``webp`` or ``avif``.
    """

    placement: str
    width: int
    height: int
    position: str = ""
    description: str = ""
    safe: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    format: str = "jpeg"


@dataclass(frozen=True, slots=True)
class CreativeSpec:
    """Everything that determines one picture; its hash is the creative's id (design, idea 15).

    ``image_sha256`` is of the product photo's bytes, ``recipe`` names versions and settings of cut-out, layout,
    backend, composite and encoder; ``safe`` and ``format`` are the placement's. For the arm ``original`` prompt fields
    are empty.
    """

    item_id: str
    category: str
    arm: str
    placement: str
    width: int
    height: int
    image_sha256: str
    text: str
    negative: str
    tags: tuple[tuple[str, str], ...]
    backend: str
    recipe: str
    safe: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    format: str = "jpeg"

    @property
    def creative_id(self) -> str:
        """32 hex digits: SHA-256 of the canonical JSON of all fields, halved."""
        canonical = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]

    def seed(self, attempt: int = 0) -> int:
        """Seed of the picture's randomness, below 2**63: from the creative's id and the attempt."""
        return seed_of(self.creative_id, attempt)

    @property
    def is_original(self) -> bool:
        """Whether this is the untouched photo."""
        return self.arm == ORIGINAL_ARM


def seed_of(creative_id: str, attempt: int) -> int:
    """Seed of an attempt at a creative, below 2**63."""
    digest = hashlib.sha256(f"{creative_id}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, slots=True)
class CreativeRef:
    """What serving knows of a creative: the value of one arm in the creative index."""

    creative_id: str
    url: str
    width: int
    height: int
