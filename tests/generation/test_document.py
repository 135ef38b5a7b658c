from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from contracts import InvalidInputError
from generation import read_prompts
from generation.document import MAX_BYTES, read_document


def write(folder: Path, text: str) -> Path:
    path = folder / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def bomb(first: str, again: str, levels: int = 12) -> str:
    lines = [f"  l0: &l0 {first}"]
    lines += [f"  l{n}: &l{n} " + again.format(", ".join([f"*l{n - 1}"] * 9)) for n in range(1, levels)]
    return "version: 1\ncategories:\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb("[x, x]", "[{}]"), "aliases make it more"),
        (bomb("{a: x}", "{{<<: [{}]}}"), "aliases make it more"),
        ("version: 1\ncategories: &a {c: *a}", "part of"),
        ("version: 1\ncategories: &a [*a]", "part of"),
        ("[" * 5_000, "cannot be read"),
        ("version: 1\ncategories: {a: 1, a: 2}", "stands twice"),
        ("version: 1\ncategories: 2020-13-45", "cannot be read"),
        ("version: 1\ncategories: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("#" * (MAX_BYTES + 1), "longer than"),
        ("", "must be a mapping"),
        ("version: 1\n---\nversion: 1\n", "single document"),
        ("version: 1\ncategories: \x00", "cannot be read"),
    ],
)
def test_files_that_could_do_harm_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        read_document(write(tmp_path, text), "categories")


def test_aliases_are_for_use(tmp_path: Path) -> None:
    text = "version: 1\ncategories:\n  a: [{arm: x, text: t, negative: &n people}, {arm: y, text: t, negative: *n}]\n"
    assert [prompt.negative for prompt in read_prompts(write(tmp_path, text)).of("a")] == ["people", "people"]
    shared = "version: 1\ncategories:\n  a: &a [{arm: x, text: t}]\n" + "".join(f"  c{n}: *a\n" for n in range(2_000))
    assert len(read_prompts(write(tmp_path, shared)).prompts) == 2_001


KEYS = st.sampled_from(
    [
        "arm",
        "text",
        "negative",
        "tags",
        "prompts",
        "factors",
        "template",
        "product_words",
        "surface",
        "oak",
        "x",
        True,
        1,
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text("{}|ab \u202eé🪑", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(document=st.dictionaries(st.just("categories"), VALUES, min_size=1), known=st.booleans())
def test_whatever_a_file_holds_only_a_stated_error_comes(
    document: dict[str, object], known: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    held = document["categories"] if known else {"c": document["categories"]}
    path.write_text(yaml.safe_dump({"version": 1, "categories": held}))
    try:
        book = read_prompts(path)
    except InvalidInputError as error:
        assert str(path) in str(error)
        assert len(str(error)) < 2_000
    else:
        assert all(book.prompts.values())
