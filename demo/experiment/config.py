"""What the experiment is told, and which products it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from contracts import InvalidInputError, Placement, Product
from generation import read_placements

CATALOGUE = Path(__file__).parents[1] / "catalogue" / "hundred"


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """One run of the experiment.

    ``home`` keeps its pictures: a second run makes only what is missing. ``products`` are taken evenly from the
    categories, ``placements`` by name; of ``looked_at`` products of each category the pictures are compared in pairs.
    """

    home: Path
    catalogue: Path = CATALOGUE
    products: int = 100
    placements: tuple[str, ...] = ("square",)
    backend: str = "procedural"
    backend_options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    workers: int = 2
    weights: Path = Path(".backdrop/weights/u2netp.onnx")
    looked_at: int = 2

    def __post_init__(self) -> None:
        """Refuse numbers that cannot work.

        Raises:
            InvalidInputError: naming the field, its value and the limit.
        """
        for name in ("products", "workers", "looked_at"):
            if getattr(self, name) < 1:
                message = f"{name} = {getattr(self, name)}: must be at least 1"
                raise InvalidInputError(message)

    def slots(self) -> tuple[Placement, ...]:
        """The placements by name, in the order asked for.

        Raises:
            InvalidInputError: one is not in the catalogue's placements, or none is asked for.
        """
        known = {each.placement: each for each in read_placements(self.catalogue / "placements.yaml")}
        unknown = [name for name in self.placements if name not in known]
        if unknown or not self.placements:
            message = f"placements {unknown or 'are empty'}: use some of {sorted(known)}"
            raise InvalidInputError(message)
        return tuple(known[name] for name in dict.fromkeys(self.placements))


def chosen(products: Sequence[Product], count: int) -> tuple[Product, ...]:
    """``count`` products, one of each category in turn, within a category in the catalogue's order.

    Raises:
        InvalidInputError: if there are not so many.
    """
    if count > len(products):
        message = f"{count} products are asked for, the catalogue has {len(products)}"
        raise InvalidInputError(message)
    queues: dict[str, list[Product]] = {}
    for product in products:
        queues.setdefault(product.category, []).append(product)
    longest = max(len(queue) for queue in queues.values())
    turns = [queue[turn] for turn in range(longest) for queue in queues.values() if turn < len(queue)]
    return tuple(turns[:count])
