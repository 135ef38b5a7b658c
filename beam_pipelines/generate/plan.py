"""What is to be made of one product: all its specs minus those whose picture and manifest row exist."""

from collections.abc import Sequence
from dataclasses import dataclass

from beam_pipelines.generate.elements import Shown
from beam_pipelines.generate.existing import MISSING, PASSED, Existing
from beam_pipelines.generate.manifest import path_of
from beam_pipelines.generate.settings import Inputs
from beam_pipelines.generate.tally import count
from contracts import CreativeSpec, Product
from generation import Backend, DeadRow, specs_of, usable

PLACEMENT, CATEGORY = "placement_", "category_"


@dataclass(frozen=True, slots=True)
class ProductPlan:
    """The specs of a product that are ``missing``, how many exist, and those of them that shoppers may see.

    ``refused`` says why prompts are left out that the product cannot have.
    """

    missing: tuple[CreativeSpec, ...]
    existing: int
    shown: tuple[Shown, ...]
    refused: tuple[DeadRow, ...] = ()

    @property
    def originals(self) -> tuple[CreativeSpec, ...]:
        """Missing ones of the untouched photo."""
        return tuple(spec for spec in self.missing if spec.is_original)

    @property
    def painted(self) -> tuple[CreativeSpec, ...]:
        """Missing ones that are to be painted."""
        return tuple(spec for spec in self.missing if not spec.is_original)


def plan_product(
    product: Product, image_sha256: str, inputs: Inputs, backend: Backend, cutout: str, existing: Existing
) -> ProductPlan:
    """Plan a product whose photo has that hash; ``cutout`` is the recipe of its cut-out."""
    prompts = inputs.prompts(product.category)
    specs = specs_of(product, image_sha256, prompts, inputs.placements, backend, cutout)
    states = existing.states([spec.creative_id for spec in specs])
    found = [spec for spec, state in zip(specs, states, strict=True) if state != MISSING]
    shown = [shown_of(spec) for spec, state in zip(specs, states, strict=True) if state == PASSED]
    missing = tuple(spec for spec, state in zip(specs, states, strict=True) if state == MISSING)
    return ProductPlan(missing, len(found), tuple(shown), usable(prompts, product, backend)[1])


def shown_of(spec: CreativeSpec) -> Shown:
    """What the creative index needs of a spec's picture."""
    return Shown(spec.placement, spec.arm, spec.creative_id, path_of(spec), spec.width, spec.height)


def count_plan(plan: ProductPlan, category: str) -> None:
    """Count a product's plan, in the counters of which ``PlanCounts`` is made."""
    count("products")
    count("existing", plan.existing)
    count("pictures", len(plan.missing))
    count("painted", len(plan.painted))
    count("pixels", sum(spec.width * spec.height for spec in plan.missing))
    if plan.missing:
        count(CATEGORY + category, len(plan.missing))
    for placement, number in _by_placement(plan.missing).items():
        count(PLACEMENT + placement, number)


def _by_placement(specs: Sequence[CreativeSpec]) -> dict[str, int]:
    found: dict[str, int] = {}
    for spec in specs:
        found[spec.placement] = found.get(spec.placement, 0) + 1
    return found
