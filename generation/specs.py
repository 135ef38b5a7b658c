"""Which creatives there should be: one spec for each product × (prompts and original) × placement."""

from collections.abc import Sequence
from dataclasses import replace

from contracts import ORIGINAL_ARM, CreativeSpec, Placement, Product, Prompt
from generation.backend import Backend
from generation.composite import COMPOSITE_RECIPE
from generation.cutout import CUTOUT_RECIPE
from generation.encode import file_format
from generation.layout import LAYOUT_RECIPE
from generation.original import ORIGINAL_RECIPE
from generation.prompt_resolve import usable


def specs_of(
    product: Product, image_sha256: str, prompts: Sequence[Prompt], placements: Sequence[Placement], backend: Backend
) -> tuple[CreativeSpec, ...]:
    """All specs of a product, the original of each placement first; prompts that it cannot have are left out.

    ``usable`` says which those are, and why.
    """
    ready, _ = usable(prompts, product, backend)
    steps = "+".join((CUTOUT_RECIPE, LAYOUT_RECIPE, backend.recipe, COMPOSITE_RECIPE))
    specs = []
    for slot in placements:
        written = file_format(slot.format).recipe
        plain = CreativeSpec(
            item_id=product.item_id,
            category=product.category,
            arm=ORIGINAL_ARM,
            placement=slot.placement,
            width=slot.width,
            height=slot.height,
            image_sha256=image_sha256,
            text="",
            negative="",
            tags=(),
            backend="",
            recipe=f"{ORIGINAL_RECIPE}+{written}",
            safe=slot.safe,
            format=slot.format,
        )
        specs.append(plain)
        specs += [
            replace(
                plain,
                arm=prompt.arm,
                text=prompt.text,
                negative=prompt.negative,
                tags=tuple(sorted(prompt.tags.items())),
                backend=backend.name,
                recipe=f"{steps}+{written}",
            )
            for prompt in ready
        ]
    return tuple(specs)


def prompt_of(spec: CreativeSpec) -> Prompt:
    """The prompt that a spec carries."""
    return Prompt(spec.arm, spec.category, spec.text, spec.negative, dict(spec.tags))


def placement_of(spec: CreativeSpec) -> Placement:
    """The slot that a spec carries."""
    return Placement(spec.placement, spec.width, spec.height, safe=spec.safe, format=spec.format)
