"""A prompt of the file, made one for a product: placeholders filled, or the reason why they cannot be."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from contracts import Product, Prompt
from generation.backend import Backend
from generation.catalogue import DeadRow
from generation.prompt_entry import MAX_PROMPT_CHARS
from generation.prompt_errors import PromptError
from generation.prompt_template import Field, parse_template
from generation.prompt_values import MAX_ATTRIBUTE_CHARS, cleaned, values_of
from generation.prompt_words import without_words


def resolved(prompt: Prompt, product: Product) -> Prompt:
    """The prompt as it is painted for a product: values in the place of placeholders, braces as they are meant.

    Product words are dropped out of values. A value stays what it is: braces in it are no placeholders.

    Raises:
        PromptError: ``prompt_attribute`` if the product lacks an attribute that has no default, or its value is
            longer than 200 characters; ``prompt_too_long`` if the text comes to more than 1,000 characters.
    """
    values = values_of(product)
    text, negative = (_filled(prompt, part, values) for part in (prompt.text, prompt.negative))
    for name, said in (("text", text), ("negative", negative)):
        if len(said) > MAX_PROMPT_CHARS:
            message = f"{name} of {_where(prompt)} comes to {len(said)} characters, at most {MAX_PROMPT_CHARS}"
            raise PromptError(message, "prompt_too_long")
    return replace(prompt, text=text, negative=negative, product_words=())


def usable(
    prompts: Sequence[Prompt], product: Product, backend: Backend
) -> tuple[tuple[Prompt, ...], tuple[DeadRow, ...]]:
    """The prompts resolved for a product, and why those that are missing cannot be painted."""
    good: list[Prompt] = []
    dead: list[DeadRow] = []
    for prompt in prompts:
        try:
            ready = resolved(prompt, product)
            backend.check(ready)
        except PromptError as error:
            dead.append(DeadRow(product.item_id, error.reason, str(error)))
        else:
            good.append(ready)
    return tuple(good), tuple(dead)


def check_prompts(prompts: Sequence[Prompt], backend: Backend) -> None:
    """Let the backend look at those prompts that are the same for every product, before any is painted.

    Raises:
        InvalidInputError: if it would cut one.
    """
    for prompt in prompts:
        text, negative = parse_template(prompt.text), parse_template(prompt.negative)
        if not text.fields and not negative.fields:
            backend.check(replace(prompt, text=text.plain, negative=negative.plain, product_words=()))


def _filled(prompt: Prompt, text: str, values: Mapping[str, str]) -> str:
    def value(field: Field) -> str:
        given = cleaned(values.get(field.name, ""))
        if len(given) > MAX_ATTRIBUTE_CHARS:
            message = (
                f"{_where(prompt)} asks for {field.name}, which has {len(given)} characters, "
                f"at most {MAX_ATTRIBUTE_CHARS}: use another attribute"
            )
            raise PromptError(message, "prompt_attribute")
        said = without_words(given, prompt.product_words) or field.default
        if said is None:
            lacking = "is made of product words alone" if given else "the product lacks"
            message = (
                f"{_where(prompt)} asks for {{{field.name}}}, which {lacking}: "
                f"add it to the catalogue, or write {{{field.name}|a default}}"
            )
            raise PromptError(message, "prompt_attribute")
        return said

    return " ".join(parse_template(text).filled(value).split())


def _where(prompt: Prompt) -> str:
    return f"prompt {prompt.category}/{prompt.arm}"
