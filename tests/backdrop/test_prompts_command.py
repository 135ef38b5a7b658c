import os
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from backdrop.cli import app
from generation import read_prompts
from tests.generation.test_prompt_check import budget
from tests.generation.tiny_writer import EXAMPLES, INSTRUCTION, save_tiny_writer

PROMPTS = """\
version: 1
categories:
  seating:
    product_words: [chair]   # keep
    prompts:
    - arm: one
      text: {}
    - arm: two
      text: {}
"""
CATALOGUE = """\
item_id,title,category,price,image_uri,colour
a,Stool,garden,1,a.png,red
b,Bench,garden,1,b.png,
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BACKDROP_")]:
        monkeypatch.delenv(name)
    (tmp_path / "prompts.yaml").write_text(PROMPTS.format(*EXAMPLES))
    (tmp_path / "products.csv").write_text(CATALOGUE)
    (tmp_path / "task.txt").write_text(INSTRUCTION)
    monkeypatch.setenv("BACKDROP_GENERATE__PROMPTS", str(tmp_path / "prompts.yaml"))
    monkeypatch.setenv("BACKDROP_GENERATE__CATALOGUE", str(tmp_path / "products.csv"))


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, ["prompts", *words], env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_drafts_are_written_reviewed_and_frozen(tmp_path: Path) -> None:
    save_tiny_writer(tmp_path / "model")
    words = ("draft", "--model", "model", "--category", "seating", "--count", "3", "--instruction", "task.txt")
    made = invoke(*words, "--option", "seed=3")
    assert made.exit_code == 0, made.exception
    assert "3 drafts for seating" in made.output
    assert "may hold a review" in str(invoke(*words).exception)
    drafts = yaml.safe_load((tmp_path / "drafts.yaml").read_text())
    first = drafts["categories"]["seating"][0]
    first |= {"keep": True, "arm": "three"}
    (tmp_path / "drafts.yaml").write_text(yaml.safe_dump(drafts))
    assert "1 prompts added" in invoke("freeze", "drafts.yaml").output
    book = read_prompts(tmp_path / "prompts.yaml")
    assert [prompt.arm for prompt in book.of("seating")] == ["one", "two", "three"]
    assert book.of("seating")[2].text == first["text"]
    assert (tmp_path / "prompts.yaml").read_text().startswith(PROMPTS.format(*EXAMPLES))


def test_a_check_shows_every_prompt_and_fails_for_one_that_cannot_be_painted(tmp_path: Path) -> None:
    shown = invoke("check")
    assert shown.exit_code == 0
    assert "2 prompts in 1 categories" in shown.output
    assert all(word in shown.output for word in ("seating", "one", "two", "no tag of surface"))
    budget(tmp_path)
    long = " ".join(["oak"] * 30)
    (tmp_path / "prompts.yaml").write_text(
        f"version: 1\ncategories: {{garden: [{{arm: x, text: {long}}}, {{arm: y, text: 'on {{colour}} oak'}}]}}"
    )
    failed = invoke("check", "--model-folder", ".", "--catalogue", "products.csv")
    assert failed.exit_code == 1
    assert "32 + 2" in failed.output
    assert "prompt_attribute: 1" in failed.output


def test_what_is_wrong_is_said_in_a_sentence(tmp_path: Path) -> None:
    failed = invoke("draft", "--model", "none", "--category", "seating")
    assert failed.exit_code == 1
    assert "config.json" in str(failed.exception)
    assert "cannot be read" in str(invoke("freeze", "none.yaml").exception)
    assert "cannot be read" in str(invoke("check", "--prompts", "none.yaml").exception)
    assert not (tmp_path / "drafts.yaml").exists()
