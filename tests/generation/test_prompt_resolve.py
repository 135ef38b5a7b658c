from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import InvalidInputError, Product, Prompt
from generation import (
    ProceduralBackend,
    PromptError,
    RenderRequest,
    check_prompts,
    prompt_of,
    resolved,
    specs_of,
    usable,
)
from generation.arrays import Pixels
from generation.prompt_values import attributes_of, cleaned, odd_character
from tests.generation.studio import SLOTS, product

ASKS = Prompt("asks", "seating", "in {colour} and {material|wood}", "no {brand|}", {"mood": "calm"}, ("chair",))
PLAIN = Prompt("plain", "seating", "on oak {{really}}")


def having(**attributes: str) -> Product:
    return replace(product(), attributes=tuple(sorted(attributes.items())))


class ShortBackend:
    """Takes prompts of at most three words."""

    name = "short"
    recipe = "short/1"

    def check(self, prompt: Prompt) -> None:
        if len(prompt.text.split()) > 3:
            message = f"{prompt.text!r} is too long"
            raise PromptError(message, "prompt_too_long")

    def render(self, requests: Sequence[RenderRequest]) -> list[Pixels]:
        raise NotImplementedError


def test_values_take_their_places() -> None:
    ready = resolved(ASKS, having(colour="red", size="9"))
    assert (ready.text, ready.negative) == ("in red and wood", "no")
    assert (ready.tags, ready.product_words) == (ASKS.tags, ())
    assert resolved(ASKS, replace(having(colour="red", material="oak"), brand="Mio")).negative == "no Mio"
    assert resolved(PLAIN, product()).text == "on oak {really}"
    assert resolved(replace(PLAIN, text="{title} {category}"), product()).text == "Stool seating"


def test_a_value_is_no_template() -> None:
    ready = resolved(ASKS, having(colour="{material} {{x}} }", material="{colour}"))
    assert ready.text == "in {material} {{x}} } and {colour}"


@given(st.text(max_size=60))
def test_no_value_breaks_a_prompt(value: str) -> None:
    shop = having(colour=value)
    try:
        text = resolved(ASKS, shop).text
    except PromptError as error:
        assert error.reason == "prompt_attribute"
        return
    assert odd_character(text) is None
    assert text == " ".join(text.split())
    assert text.startswith("in ") and text.endswith(" and wood")


def test_product_words_are_dropped_out_of_values() -> None:
    assert resolved(ASKS, having(colour="Chair red")).text == "in red and wood"
    assert resolved(ASKS, having(colour="red", material="Chairs")).text == "in red and wood"
    with pytest.raises(PromptError, match="product words alone") as caught:
        resolved(ASKS, having(colour="chair"))
    assert caught.value.reason == "prompt_attribute"


@pytest.mark.parametrize(
    ("shop", "words"),
    [
        (having(), "the product lacks"),
        (having(colour=""), "the product lacks"),
        (having(colour="\u202e\x00 "), "the product lacks"),
        (having(colour="x" * 201), "201 characters"),
    ],
)
def test_a_missing_attribute_is_a_reason(shop: Product, words: str) -> None:
    with pytest.raises(PromptError, match=words) as caught:
        resolved(ASKS, shop)
    assert caught.value.reason == "prompt_attribute"


def test_texts_that_grow_too_long_are_refused() -> None:
    with pytest.raises(PromptError, match="at most 1000") as caught:
        resolved(replace(ASKS, text=", ".join(["{colour}"] * 90)), having(colour="a rather long colour"))
    assert caught.value.reason == "prompt_too_long"


def test_the_other_prompts_of_a_product_go_on() -> None:
    good, dead = usable([ASKS, PLAIN], having(), ShortBackend())
    assert [prompt.arm for prompt in good] == ["plain"]
    assert [(row.item_id, row.reason) for row in dead] == [("stool", "prompt_attribute")]
    assert "seating/asks" in dead[0].detail
    good, dead = usable([ASKS, PLAIN], having(colour="red"), ShortBackend())
    assert [(prompt.arm, row.reason) for prompt, row in zip(good, dead, strict=True)] == [("plain", "prompt_too_long")]


def test_prompts_that_are_the_same_for_all_are_refused_before_any_is_painted() -> None:
    check_prompts([ASKS, PLAIN], ShortBackend())
    with pytest.raises(InvalidInputError, match="too long"):
        check_prompts([ASKS, replace(PLAIN, text="on a wide floor")], ShortBackend())


def test_an_attribute_that_is_used_makes_new_pictures() -> None:
    red, blue = having(colour="red"), having(colour="blue")
    sized = having(colour="red", size="9")
    ids = [
        {s.arm: s.creative_id for s in specs_of(shop, "ab" * 32, [ASKS, PLAIN], SLOTS[:1], ProceduralBackend())}
        for shop in (red, blue, sized)
    ]
    assert ids[0] == ids[2]
    assert {arm for arm in ids[0] if ids[0][arm] != ids[1][arm]} == {"asks"}
    for spec in specs_of(red, "ab" * 32, [ASKS], SLOTS[:1], ProceduralBackend()):
        assert spec.is_original or prompt_of(spec) == resolved(ASKS, red)
    assert len(specs_of(having(), "ab" * 32, [ASKS, PLAIN], SLOTS, ProceduralBackend())) == 2 * len(SLOTS)


def test_columns_become_attributes() -> None:
    row: dict[str, object] = {
        "title": "t", "color": " Sea\u202e\tgreen ", "Size": 9, "weight": 2.50, "ok": True, "link": "https://x.example/",
        "tags": ["a"], "none": None, "nan": float("nan"), "long": "x" * 201, "colour": "second",
    }  # fmt: skip
    assert attributes_of(row, {"title"}) == (("colour", "Sea green"), ("size", "9"), ("weight", "2.5"))
    many: dict[str, object] = {f"a{n:03}": n for n in range(100)} | {"material": "oak"}
    kept = attributes_of(many, ())
    assert len(kept) == 64
    assert kept[-1] == ("material", "oak")
    assert kept[62] == ("a062", "62")


def test_texts_are_cleaned() -> None:
    assert cleaned("\x1b[31mre\u0301d\u200b\ufeff \u2067x\u2069\n\ty") == "[31mréd x y"
    family = "👨\u200d👩\u200d👧 شیر\u200cینی"
    assert cleaned(family) == family
    assert odd_character("a\u202eb") == "\u202e"
    assert odd_character("größer, naïve, 椅子, 🪑\n") is None
