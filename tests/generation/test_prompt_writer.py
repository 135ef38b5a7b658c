import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from contracts import InvalidInputError, Prompt, SetupError
from generation import Brief, PromptError, WriterSettings, draft_prompts, open_writer
from generation.prompt_writer import lines_of
from tests.generation.tiny_writer import EXAMPLES, INSTRUCTION, LINES, save_tiny_writer

BRIEF = Brief("seating", INSTRUCTION, EXAMPLES, product_words=("chair",))


def anything(prompt: Prompt) -> None:
    """Refuse nothing."""


def no_spotlight(prompt: Prompt) -> None:
    if "spotlight" in prompt.text:
        message = "99 tokens"
        raise PromptError(message, "prompt_too_long")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("writer") / "model"
    save_tiny_writer(folder)
    return folder


def test_a_model_writes_drafts_that_could_be_used(model: Path) -> None:
    drafts = draft_prompts(BRIEF, 8, open_writer(WriterSettings(str(model))), no_spotlight)
    assert len(drafts.texts) == len(set(drafts.texts)) == 8
    assert len(set(drafts.texts) & set(LINES)) >= 4
    assert not any("chair" in text or "spotlight" in text for text in drafts.texts)
    assert not set(drafts.texts) & set(EXAMPLES)
    assert drafts.left_out["product_word"] > 0
    assert drafts.left_out["prompt_too_long"] > 0


def test_equal_seeds_write_equal_drafts(model: Path) -> None:
    def written(seed: int) -> tuple[str, ...]:
        return draft_prompts(BRIEF, 5, open_writer(WriterSettings(str(model), seed)), anything).texts

    assert written(1) == written(1) != written(2)


def test_a_brief_that_does_not_fit_is_refused_not_cut(model: Path) -> None:
    write = open_writer(WriterSettings(str(model)))
    with pytest.raises(InvalidInputError, match="takes 512: give fewer"):
        write(replace(BRIEF, titles=("x y z" * 40,) * 8).words(), 0)


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("how", ["missing", "cut", "other"])
def test_a_broken_model_is_named(model: Path, tmp_path: Path, broken: str, how: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    whole = (folder / broken).read_bytes()
    if how == "missing":
        (folder / broken).unlink()
    else:
        (folder / broken).write_bytes(whole[: len(whole) // 2] if how == "cut" else b"[1]")
    with pytest.raises(SetupError, match=r"cannot be loaded|holds no config"):
        open_writer(WriterSettings(str(folder)))


def test_what_is_no_model_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no config"):
        open_writer(WriterSettings(str(tmp_path / "none")))
    # Pickled weights could run code: they are not read.
    folder = tmp_path / "pickled"
    shutil.copytree(model, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(SetupError, match="cannot be loaded"):
        open_writer(WriterSettings(str(folder)))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("temperature=0", "0.05 to 5"),
        ("temperature=nan", "0.05 to 5"),
        ("top_p=2", "0.01 to 1"),
        ("max_new_tokens=1", "8 to 2000"),
        ("seed=-1", "0 to"),
        ("seed=x", "name=number"),
        ("beams=4", "name=number"),
        ("seed", "name=number"),
    ],
)
def test_wrong_options_are_refused(option: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        WriterSettings.from_options("x", [option])


def test_lines_are_taken_whole_and_without_marks() -> None:
    said = " one line\n- two  lines\n3. “three”\n\n* four\n- cut in the mid"
    assert list(lines_of(said)) == ["one line", "two lines", "three", "four"]


def test_reasons_are_counted_and_asking_ends() -> None:
    asked: list[int] = []

    def write(words: str, number: int) -> Sequence[str]:
        asked.append(number)
        assert words.endswith("\n-")
        return [
            "too short\n", "a " * 300 + "\n", "on {oak} floor in a quiet bright room\n",
            "on oak \u202e floor in a quiet bright room\n", "on oak beside chairs in a bright room\n",
            f"{EXAMPLES[0].upper()}\n", "on green moss below tall old trees\n", "below tall old trees on green moss\n",
        ]  # fmt: skip

    drafts = draft_prompts(BRIEF, 2, write, anything)
    assert drafts.texts == ("on green moss below tall old trees",)
    assert asked == list(range(12))
    assert drafts.left_out == {
        "too_short": 12, "too_long": 12, "characters": 24, "product_word": 12, "duplicate": 12 + 23,
    }  # fmt: skip
