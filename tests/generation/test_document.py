from pathlib import Path

import pytest

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
