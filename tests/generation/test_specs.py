from dataclasses import replace

from generation import ProceduralBackend, placement_of, prompt_of, specs_of
from tests.generation.studio import PROMPTS, SLOTS, product


def test_every_prompt_and_the_original_for_every_slot() -> None:
    specs = specs_of(product(), "ab" * 32, PROMPTS, SLOTS, ProceduralBackend())
    assert len({spec.creative_id for spec in specs}) == len(specs) == (len(PROMPTS) + 1) * len(SLOTS)
    assert sum(spec.is_original for spec in specs) == len(SLOTS)
    for spec in specs:
        assert placement_of(spec) in SLOTS
        assert spec.is_original or prompt_of(spec) in PROMPTS


def test_changing_a_prompt_changes_its_pictures_only() -> None:
    before = specs_of(product(), "ab" * 32, PROMPTS, SLOTS, ProceduralBackend())
    changed = (replace(PROMPTS[0], text="on old oak"), PROMPTS[1])
    after = specs_of(product(), "ab" * 32, changed, SLOTS, ProceduralBackend())
    differing = {new.arm for old, new in zip(before, after, strict=True) if old.creative_id != new.creative_id}
    assert differing == {PROMPTS[0].arm}
    photo = specs_of(product(), "cd" * 32, PROMPTS, SLOTS, ProceduralBackend())
    assert not {spec.creative_id for spec in before} & {spec.creative_id for spec in photo}
