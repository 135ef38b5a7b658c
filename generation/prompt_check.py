"""What a person should know of a prompt file before it is painted: tokens, what it asks for, what looks forgotten."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from contracts import InvalidInputError, Product, Prompt
from generation.catalogue import DeadRow
from generation.prompt_entry import TAGS
from generation.prompt_errors import PromptError
from generation.prompt_resolve import resolved
from generation.prompt_template import parse_template
from generation.prompts import PromptBook
from generation.token_budget import TokenBudget


@dataclass(frozen=True, slots=True)
class CheckedPrompt:
    """One prompt: ``tokens`` of text and negative with defaults put in (None: not counted), and what is wrong.

    ``refused`` are reasons for which products of a catalogue cannot have it, and how many; ``broken``: no picture
    of it can be painted.
    """

    category: str
    arm: str
    text: str
    tags: Mapping[str, str]
    tokens: tuple[int, int] | None
    warnings: tuple[str, ...]
    refused: Mapping[str, int]
    broken: bool


def check_book(
    book: PromptBook, budget: TokenBudget | None = None, products: Iterable[Product | DeadRow] = ()
) -> tuple[CheckedPrompt, ...]:
    """Look at every prompt, alone and with each of ``products`` (streamed; rows that are none are passed over).

    Raises:
        SetupError: if the tokenizer cannot be read.
    """
    refused: dict[tuple[str, str], Counter[str]] = {}
    for product in products:
        if isinstance(product, Product):
            for prompt in book.of(product.category):
                reason = _reason(prompt, product, budget)
                if reason is not None:
                    refused.setdefault((prompt.category, prompt.arm), Counter())[reason] += 1
    said = Counter((prompt.category, prompt.text) for prompts in book.prompts.values() for prompt in prompts)
    return tuple(
        _checked(prompt, budget, refused.get((prompt.category, prompt.arm), {}), said[prompt.category, prompt.text])
        for prompts in book.prompts.values()
        for prompt in prompts
    )


def _reason(prompt: Prompt, product: Product, budget: TokenBudget | None) -> str | None:
    try:
        ready = resolved(prompt, product)
        if budget is not None:
            budget.check(ready)
    except PromptError as error:
        return error.reason
    return None


def _checked(prompt: Prompt, budget: TokenBudget | None, refused: Mapping[str, int], alike: int) -> CheckedPrompt:
    text, negative = parse_template(prompt.text), parse_template(prompt.negative)
    ready = replace(prompt, text=text.plain, negative=negative.plain)
    tokens = None if budget is None else (budget.count(ready.text), budget.count(ready.negative))
    needs = sorted({field.name for field in (*text.fields, *negative.fields) if field.default is None})
    missing = [kind for kind in TAGS if kind not in prompt.tags]
    warnings = [f"{reason}: {count} products" for reason, count in sorted(refused.items())]
    broken = False
    try:
        if budget is not None:
            budget.check(ready)
    except InvalidInputError as error:
        # What is too long with nothing in its placeholders is too long for every product.
        warnings.append(str(error))
        broken = True
    warnings += [f"needs {', '.join(needs)}"] if needs else []
    warnings += [f"no tag of {', '.join(missing)}"] if missing else []
    warnings += [] if prompt.negative else ["no negative"]
    warnings += ["its text stands twice"] if alike > 1 else []
    return CheckedPrompt(
        prompt.category, prompt.arm, prompt.text, prompt.tags, tokens, tuple(warnings), dict(refused), broken
    )
