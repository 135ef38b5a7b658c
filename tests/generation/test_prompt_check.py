from dataclasses import replace
from pathlib import Path

from contracts import Prompt
from generation import DeadRow, PromptBook, TokenBudget, check_book, read_prompts
from tests.generation.studio import product
from tests.generation.tiny_model import tiny_tokenizer

TAGS = {"surface": "oak", "scene": "garden", "light": "spotlight", "mood": "calm"}
DEMO = Path(__file__).parents[2] / "demo" / "catalogue" / "prompts.yaml"


def budget(folder: Path) -> TokenBudget:
    tiny_tokenizer(folder / "words").save_pretrained(folder / "tokenizer")
    (folder / "text_encoder").mkdir()
    (folder / "text_encoder" / "config.json").write_text('{"max_position_embeddings": 20}')
    return TokenBudget(folder)


def test_what_looks_forgotten_is_said(tmp_path: Path) -> None:
    prompts = (
        Prompt("good", "seating", "on oak", "text", TAGS),
        Prompt("bare", "seating", "on {colour} oak"),
        Prompt("twin", "seating", "on oak", "text", TAGS),
        Prompt("long", "seating", "oak " * 30, "text", TAGS),
        Prompt("grows", "seating", "on {pattern|oak}", "text", TAGS),
    )
    red = replace(product(), attributes=(("colour", "red"), ("pattern", "oak " * 30)))
    rows = check_book(PromptBook({"seating": prompts}), budget(tmp_path), [red, product(), DeadRow("x", "bad_row", "")])
    good, bare, twin, long, grows = rows
    assert (good.tokens, good.warnings) == ((4, 3), ("its text stands twice",))
    assert twin.warnings == good.warnings
    assert set(bare.warnings) == {
        "prompt_attribute: 1 products", "needs colour", "no tag of surface, scene, light, mood", "no negative",
    }  # fmt: skip
    assert any("has 32 tokens, the model takes at most 20" in warning for warning in long.warnings)
    assert [row.arm for row in rows if row.broken] == ["long"]
    assert (grows.refused, grows.broken) == ({"prompt_too_long": 1}, False)


def test_the_demos_prompts_are_in_order() -> None:
    rows = check_book(read_prompts(DEMO))
    assert [(row.arm, row.warnings) for row in rows if row.warnings] == []
    assert {row.tokens for row in rows} == {None}
