from pathlib import Path

import pytest
import yaml

from contracts import InvalidInputError
from generation import freeze, read_prompts, write_drafts

DEMO = Path(__file__).parents[2] / "demo" / "catalogue" / "prompts.yaml"
TEXTS = ("on oak in a garden at golden hour, calm: 'quoted'", "on wet slate, # not a comment, 橡木 🪑", "on sand")
LIST = """\
# The head stays.
version: 1
categories:
  seating:   # so does this
    - arm: a
      text: >-
        on a floor
        of oak

  # about garden
  garden:
    - {arm: b, text: on grass, negative: &n people}
    - {arm: c, text: on moss, negative: *n}
# the end
"""


def reviewed(folder: Path, category: str = "seating", keep: tuple[int, ...] = (0, 1)) -> Path:
    """A draft file with some entries kept and their arms named."""
    path = folder / "drafts.yaml"
    write_drafts(path, category, TEXTS)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for number in keep:
        document["categories"][category][number] |= {"keep": True, "arm": f"new-{number}"}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def prompt_file(folder: Path, text: str) -> Path:
    path = folder / "prompts.yaml"
    path.write_bytes(text.encode())
    return path


def test_drafts_are_no_prompts_until_someone_has_read_them(tmp_path: Path) -> None:
    path = tmp_path / "drafts.yaml"
    write_drafts(path, "seating", TEXTS)
    with pytest.raises(InvalidInputError, match="is a draft"):
        read_prompts(path)
    first = yaml.safe_load(path.read_text(encoding="utf-8"))["categories"]["seating"][0]
    assert first["text"] == TEXTS[0]
    assert first["keep"] is False
    assert first["tags"] == {"surface": "oak", "scene": "garden", "light": "golden-hour", "mood": "calm"}
    into = prompt_file(tmp_path, LIST)
    with pytest.raises(InvalidInputError, match="keeps nothing"):
        freeze(path, into)
    assert into.read_text() == LIST


def test_a_review_is_not_overwritten(tmp_path: Path) -> None:
    path = reviewed(tmp_path)
    before = path.read_bytes()
    with pytest.raises(InvalidInputError, match="may hold a review"):
        write_drafts(path, "seating", TEXTS)
    assert path.read_bytes() == before
    with pytest.raises(InvalidInputError, match="no drafts"):
        write_drafts(tmp_path / "none.yaml", "seating", ())


@pytest.mark.parametrize(
    "text",
    [
        LIST,
        LIST.replace("\n", "\r\n"),
        LIST.removesuffix("# the end\n").rstrip("\n"),
        "version: 1\ncategories:\n  seating:\n    product_words: [stool]\n    prompts:\n    - {arm: a, text: t}\n"
        "  garden:\n  - {arm: b, text: u}\n",
        "version: 1\ncategories:\n  seating:\n    factors: {surface: {oak: on oak}}\n    template: '{surface}'\n\n"
        "  garden:\n  - {arm: b, text: u}\n",
        "version: 1\ncategories:\n  garden:\n  - {arm: b, text: u}\n\n\n# last words\n",
        "categories:\n  garden:\n  - {arm: b, text: u}\nversion: 1\n",
        DEMO.read_text(encoding="utf-8"),
    ],
)
@pytest.mark.parametrize("category", ["seating", "garden", "kitchen-new"])
def test_kept_drafts_enter_the_prompt_file_and_what_is_there_stays(tmp_path: Path, text: str, category: str) -> None:
    into = prompt_file(tmp_path, text)
    before = read_prompts(into)
    assert freeze(reviewed(tmp_path, category), into) == 2
    after = read_prompts(into)
    assert set(map(repr, before.of(category))) <= set(map(repr, after.of(category)))
    added = [prompt for prompt in after.of(category) if prompt.arm.startswith("new-")]
    assert [prompt.text for prompt in added] == list(TEXTS[:2])
    assert {prompt.arm for prompt in after.of(category)} - {p.arm for p in before.of(category)} == {"new-0", "new-1"}
    for other in before.prompts.keys() - {category}:
        assert after.of(other) == before.of(other)
    left = into.read_bytes().decode().split("\n")
    for line in text.split("\n"):
        left.remove(line)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_nothing_is_written_if_anything_is_wrong(tmp_path: Path) -> None:
    into = prompt_file(tmp_path, LIST)
    drafts = reviewed(tmp_path)
    assert freeze(drafts, into) == 2
    once = into.read_bytes()
    with pytest.raises(InvalidInputError, match=r"prompts.yaml: category 'seating' names an arm twice"):
        freeze(drafts, into)
    drafts.write_text("version: 1\ndraft: true\ncategories: {seating: [{keep: true, arm: z, text: 'on {'}]}")
    with pytest.raises(InvalidInputError, match="for a brace"):
        freeze(drafts, into)
    assert into.read_bytes() == once
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drafts.yaml", "prompts.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\ncategories: {seating: [{arm: a, text: t}]}\n",
        "version: 1\ncategories:\n  seating: [{arm: a, text: t}]\n",
        "version: 1\ncategories:\n  seating: {prompts: [{arm: a, text: t}]}\n",
        "version: 1\ncategories:\n  garden: &g\n  - {arm: a, text: t}\n  seating: *g\n",
        "version: 1\ncategories:\n  seating:\n  - arm: a\n    text: |\n      on oak\n      # said\n",
    ],
)
def test_a_file_with_no_place_for_them_stays_as_it_is(tmp_path: Path, text: str) -> None:
    into = prompt_file(tmp_path, text)
    with pytest.raises(InvalidInputError, match=r"a line for each|by hand"):
        freeze(reviewed(tmp_path), into)
    assert into.read_text() == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version: 1\ncategories: {a: [{keep: true, arm: x, text: t}]}", "is no draft"),
        ("version: 1\ndraft: true\ncategories: {a: [{keep: maybe, arm: x, text: t}]}", "true or false"),
        ("version: 1\ndraft: true\ncategories: {a: {keep: true}}", "no list"),
        ("version: 1\ndraft: true\ncategories: {a: [x]}", "not a mapping"),
        ("version: 1\ndraft: true\ncategories: [a]", "not a mapping"),
    ],
)
def test_broken_drafts_are_refused(tmp_path: Path, text: str, words: str) -> None:
    drafts = tmp_path / "drafts.yaml"
    drafts.write_text(text)
    with pytest.raises(InvalidInputError, match=words):
        freeze(drafts, prompt_file(tmp_path, LIST))
