from pathlib import Path

import pytest

from contracts import InvalidInputError
from generation import TAGS, read_placements, read_prompts
from generation.procedural.light import LIGHTS
from generation.procedural.materials import MATERIALS
from generation.procedural.scenes import SCENES

DEMO = Path(__file__).parents[2] / "demo" / "catalogue"


def test_a_placement_may_name_safe_edges_and_a_format(tmp_path: Path) -> None:
    path = tmp_path / "placements.yaml"
    path.write_text(
        "version: 1\nplacements: [{placement: a, width: 300, height: 250, safe: {right: 0.3, top: 0}, format: webp}]"
    )
    (slot,) = read_placements(path)
    assert (slot.safe, slot.format) == ((0.0, 0.0, 0.3, 0.0), "webp")


def test_every_tag_can_be_painted() -> None:
    assert set(TAGS["surface"]) == set(MATERIALS)
    assert set(TAGS["scene"]) == set(SCENES)
    assert set(TAGS["light"]) == set(LIGHTS)


def test_prompts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(
        "version: 1\ncategories:\n  seating:\n    - {arm: a, text: 'on {wood}', negative: n, tags: {surface: oak}}\n"
        "    - {arm: b, text: plain}\n"
    )
    first, second = read_prompts(path).of("seating")
    assert (first.arm, first.text, first.negative, dict(first.tags)) == ("a", "on {wood}", "n", {"surface": "oak"})
    assert dict(second.tags) == {}
    assert read_prompts(path).of("other") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "cannot be read"),
        ("version: 2\ncategories: {}", "version: 1"),
        ("version: 1\ncategories: {}", "must map"),
        ("version: 1\ncategories: {a: []}", "at least one prompt"),
        ("version: 1\ncategories: {a: [x]}", "not a mapping"),
        ("version: 1\ncategories: {a: [{arm: x}]}", "no text"),
        ("version: 1\ncategories: {a: [{arm: original, text: t}]}", "untouched photo"),
        ("version: 1\ncategories: {a: [{arm: x, text: t}, {arm: x, text: t}]}", "twice"),
        ("version: 1\ncategories: {a: [{arm: 'x/y', text: t}]}", "valid name"),
        ("version: 1\ncategories: {a: [{arm: x, text: t, tags: {surface: lava}}]}", "lava"),
        ("version: 1\ncategories: {a: [{arm: x, text: t, tags: {smell: rose}}]}", "smell"),
        ("version: 1\ncategories: {a: [{arm: x, text: " + "t" * 1_001 + "}]}", "1001 characters"),
        ("version: 1\ncategories: {a: [{arm: x, text: " + "t" * 10_000 + "}]}", "10000 characters"),
        ("version: 1\ncategories: {a: [{arm: x, text: t, negative: " + "t" * 10_000 + "}]}", "10000 characters"),
        ("version: 1\ncategories: {a: [{arm: x, text: ''}]}", "no text"),
        ("version: 1\ncategories: {a: [{arm: x, text: '  '}]}", "no text"),
        ("version: 1\ncategories: {a: [{arm: x, text: 'on {oak'}]}", "for a brace"),
        ("version: 1\ncategories: {a: [{arm: x, text: 'on {}'}]}", "no valid name"),
        ("version: 1\ncategories: {a: [{arm: x, text: t, negative: 'on }'}]}", "for a brace"),
        ('version: 1\ncategories: {a: [{arm: x, text: "on \\u202Eoak"}]}', "U\\+202E"),
        ('version: 1\ncategories: {a: [{arm: x, text: "on \\a oak"}]}', "U\\+0007"),
        ("version: 1\ncategories: {a: [{arm: x, text: [on, oak]}]}", "a list of 2"),
        ("version: 1\ncategories: {a: [{arm: x, text: no}]}", "put it in quotes"),
        ("version: 1\ncategories: {a: [{arm: on, text: t}]}", "put it in quotes"),
        ("version: 1\ncategories: {on: [{arm: x, text: t}]}", "put it in quotes"),
        ("version: 1\ncategories: {a: [{arm: x, text: t, tag: {}}]}", "has \\['tag'\\]"),
        ("version: 1\ncategories: {a: {}}", "at least one prompt"),
        ("version: 1\ncategories: {a: {prompts: {arm: x, text: t}}}", "give a list"),
        ("version: 1\ncategories: {a: {product_words: chair, prompts: []}}", "give a list"),
        ("version: 1\ncategories: {a: {product_words: [7], prompts: []}}", "product word"),
        (
            "version: 1\ncategories: {a: {product_words: [sun], prompts: [{arm: x, text: By SUNS}]}}",
            "a/x says .* 'sun'",
        ),
        ("version: 1\ncategories: {a: {product_words: [sun], prompts: [{arm: x, text: '{x|sun}'}]}}", "word 'sun'"),
        ("version: 1\ndraft: true\ncategories: {a: [{arm: x, text: t}]}", "is a draft"),
        (
            "version: 1\ncategories: {a: [" + ", ".join(f"{{arm: x{n}, text: t}}" for n in range(501)) + "]}",
            "501 prompts",
        ),
    ],
)
def test_broken_prompt_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=words):
        read_prompts(path)


def test_other_scripts_and_emoji_are_text(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    text = "auf Eiche 🪑👨\u200d👩\u200d👧, 橡木地板, \u05e2\u05dc \u05e2\u05e5"
    path.write_text(f"version: 1\ncategories: {{a: [{{arm: x, text: '{text}'}}]}}", encoding="utf-8")
    assert read_prompts(path).of("a")[0].text == text


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{placement: a, width: 10, height: 100}", "width"),
        ("{placement: a, width: 100, height: 5000}", "height"),
        ("{placement: a, width: true, height: 100}", "width"),
        ("{placement: a, width: 100, height: 100}, {placement: a, width: 100, height: 100}", "twice"),
        ("{placement: a, width: 100, height: 100, safe: 0.1}", "safe of placement"),
        ("{placement: a, width: 100, height: 100, safe: {middle: 0.1}}", "safe of placement"),
        ("{placement: a, width: 100, height: 100, safe: {left: 0.9}}", "safe left"),
        ("{placement: a, width: 100, height: 100, safe: {left: .nan}}", "safe left"),
        ("{placement: a, width: 100, height: 100, format: tiff}", "tiff"),
        ("7", "not a mapping"),
    ],
)
def test_broken_placement_files_are_refused(tmp_path: Path, entry: str, words: str) -> None:
    path = tmp_path / "placements.yaml"
    path.write_text(f"version: 1\nplacements: [{entry}]")
    with pytest.raises(InvalidInputError, match=words):
        read_placements(path)


def test_the_demo_has_what_it_promises() -> None:
    book, slots = read_prompts(DEMO / "prompts.yaml"), read_placements(DEMO / "placements.yaml")
    assert len(book.prompts) >= 4
    assert all(len(prompts) >= 5 for prompts in book.prompts.values())
    assert len({round(slot.width / slot.height, 2) for slot in slots}) >= 3
