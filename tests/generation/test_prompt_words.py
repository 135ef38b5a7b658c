import pytest

from contracts import InvalidInputError
from generation.prompt_words import check_word, first_word, negated, without_words


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a Chair by the wall", "chair"),
        ("two CHAIRS", "chair"),
        ("a chair, alone", "chair"),
        ("benches outside", "bench"),
        ("ripe berries", "berry"),
        ("a berry", "berry"),
        ("a coffee   table", "coffee table"),
        ("coffee-tables", "coffee table"),
        ("eine Bank.", "bank"),
    ],
)
def test_whole_words_in_any_case_and_number_are_found(text: str, word: str) -> None:
    assert first_word(text, ["nothing", word]) == word


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("an armchair", "chair"),
        ("chairman", "chair"),
        ("a seating group", "seat"),
        ("coffee on a table", "coffee table"),
    ],
)
def test_parts_of_other_words_are_not(text: str, word: str) -> None:
    assert first_word(text, [word]) is None


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Porcelain Coffee Cup and Saucer", "Porcelain Coffee"),
        ("red chairs, chair, big", "red, big"),
        ("Cups", ""),
        ("the cup", ""),
        ("oak", "oak"),
        ("oak, and", "oak, and"),
        ("blue coffee table", "blue"),
    ],
)
def test_words_are_taken_out(text: str, left: str) -> None:
    assert without_words(text, ["cup", "saucer", "chair", "table", "coffee table"]) == left


def test_negatives_are_said_once() -> None:
    once = negated("people", ["chair", "seat"])
    assert once == "people, second chair, second seat"
    assert negated(once, ["seat", "chair"]) == once
    assert negated("", ["chair"]) == "second chair"
    assert negated("people", []) == "people"


@pytest.mark.parametrize("value", ["", " ", "x" * 61, 7, None, "--", ["chair"]])
def test_what_is_no_word_is_refused(value: object) -> None:
    with pytest.raises(InvalidInputError, match="product word"):
        check_word(value)
    assert check_word("  Coffee  Table ") == "coffee table"
