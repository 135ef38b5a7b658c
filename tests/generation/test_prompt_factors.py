from itertools import combinations
from pathlib import Path

import pytest

from contracts import InvalidInputError, Prompt
from generation import PromptBook, read_prompts
from generation.prompt_factors import MAX_COMBINATIONS

FACTORS = """\
version: 1
categories:
  seating:
    product_words: [chair, seat]
    negative: people, text
    tags: {mood: calm}
    factors:
      surface: {oak: a wide oak floor, slate: "grey slate, {finish|honed}"}
      scene: {loft-window: in a loft, garden: in a garden, kitchen: in a kitchen}
      camera: {near: close-up, far: wide shot}
    template: "standing on {surface}, {scene}, {camera}, {style|plain} look"
"""


def book(folder: Path, text: str) -> PromptBook:
    path = folder / "prompts.yaml"
    path.write_text(text, encoding="utf-8")
    return read_prompts(path)


def test_factors_are_crossed(tmp_path: Path) -> None:
    prompts = book(tmp_path, FACTORS).of("seating")
    assert len({prompt.arm for prompt in prompts}) == len(prompts) == 2 * 3 * 2
    first = prompts[0]
    assert first.arm == "oak_loft-window_near"
    assert first.text == "standing on a wide oak floor, in a loft, close-up, {style|plain} look"
    assert first.negative == "people, text, second chair, second seat"
    assert first.tags == {"surface": "oak", "scene": "loft-window", "camera": "near", "mood": "calm"}
    # What a level asks of the product is still asked.
    assert prompts[6].text == "standing on grey slate, {finish|honed}, in a loft, close-up, {style|plain} look"


def test_arms_differ_in_their_levels_and_in_nothing_else(tmp_path: Path) -> None:
    prompts = book(tmp_path, FACTORS).of("seating")
    said = {
        "surface": {"oak": "a wide oak floor", "slate": "grey slate, {finish|honed}"},
        "scene": {"loft-window": "in a loft", "garden": "in a garden", "kitchen": "in a kitchen"},
        "camera": {"near": "close-up", "far": "wide shot"},
    }
    pairs: dict[str, int] = {}
    for one, other in combinations(prompts, 2):
        differing = [kind for kind in one.tags if one.tags[kind] != other.tags[kind]]
        assert differing
        assert (one.negative, one.tags.keys()) == (other.negative, other.tags.keys())
        if len(differing) == 1:
            kind = differing[0]
            pairs[kind] = pairs.get(kind, 0) + 1
            assert one.text.replace(said[kind][one.tags[kind]], said[kind][other.tags[kind]]) == other.text
    assert pairs == {"surface": 6, "scene": 12, "camera": 6}


def test_listed_prompts_and_factors_live_together(tmp_path: Path) -> None:
    text = FACTORS + "    prompts:\n      - {arm: own, text: on sand, negative: '', tags: {mood: warm}}\n"
    prompts = book(tmp_path, text).of("seating")
    own = Prompt("own", "seating", "on sand", "second chair, second seat", {"mood": "warm"}, ("chair", "seat"))
    assert prompts[0] == own
    assert len(prompts) == 13


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{factors: {}, template: x}", "name at least one"),
        ("{factors: {surface: {}}, template: '{surface}'}", "no levels"),
        ("{factors: [a], template: '{surface}'}", "not a mapping"),
        ("{factors: {surface: [oak]}, template: '{surface}'}", "not a mapping"),
        ("{factors: {surface: {lava: hot lava}}, template: '{surface}'}", "lava"),
        ("{factors: {surface: {oak: ''}}, template: '{surface}'}", "say in words"),
        ("{factors: {surface: {oak: [on oak]}}, template: '{surface}'}", "a list of 1"),
        ("{factors: {surface: {oak: on oak}}, template: plain}", "does not say"),
        ("{factors: {surface: {oak: on oak}}, template: '{surface|on oak}'}", "a default"),
        ("{factors: {surface: {oak: on oak}}}", "without the other"),
        ("{template: on oak}", "without the other"),
        ("{factors: {a/b: {oak: on oak}}, template: '{surface}'}", "valid name"),
        ("{factors: {a: {on: on oak}}, template: '{a}'}", "put it in quotes"),
        ("{factors: {a: {x-y: one}, b: {z: two}, }, template: '{a} {b}', prompts: [{arm: x-y_z, text: t}]}", "twice"),
        ("{factors: {a: {x: one, x_y: two}, b: {y_z: three, z: four}}, template: '{a} {b}'}", "twice"),
        ("{factors: {a: {original: one}}, template: '{a}'}", "untouched photo"),
        ("{product_words: [chair], factors: {a: {x: by Chairs}}, template: '{a}'}", "product word 'chair'"),
        ("{factors: {surface: {oak: one, oak: two}}, template: '{surface}'}", "stands twice"),
        ("{factors: {a: {x: one}}, template: '{a}', colours: [red]}", "colours"),
    ],
)
def test_broken_factors_are_refused(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        book(tmp_path, f"version: 1\ncategories: {{c: {entry}}}")


def test_too_many_combinations_are_refused_and_counted(tmp_path: Path) -> None:
    levels = "{" + ", ".join(f"l{n}: word {n}" for n in range(10)) + "}"
    entry = f"{{factors: {{a: {levels}, b: {levels}, c: {levels}}}, template: '{{a}} {{b}} {{c}}'}}"
    with pytest.raises(InvalidInputError, match=f"1000 combinations, 1 to {MAX_COMBINATIONS}"):
        book(tmp_path, f"version: 1\ncategories: {{c: {entry}}}")
