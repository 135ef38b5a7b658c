"""Prompts: the YAML file that says what to paint for each category."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from contracts import ORIGINAL_ARM, InvalidInputError, Prompt, check_name
from generation.document import read_document
from generation.prompt_entry import (
    MAX_PROMPT_CHARS,
    mapping,
    name_of,
    product_words,
    refuse_words,
    shown,
    tags,
    template,
)
from generation.prompt_factors import read_factors, variations
from generation.prompt_template import Template
from generation.prompt_words import negated

MAX_PROMPTS = 500
_CATEGORY = ("product_words", "negative", "tags", "prompts", "factors", "template")
_ENTRY = ("arm", "text", "negative", "tags")


@dataclass(frozen=True, slots=True)
class PromptBook:
    """Prompts by category, in file order; their texts may hold placeholders (``resolved`` fills them)."""

    prompts: Mapping[str, tuple[Prompt, ...]]

    def of(self, category: str) -> tuple[Prompt, ...]:
        """The prompts of a category (empty if it is unknown)."""
        return self.prompts.get(category, ())


@dataclass(frozen=True, slots=True)
class _Shared:
    """What a category says once for all of its prompts."""

    category: str
    words: tuple[str, ...]
    negative: Template
    tags: Mapping[str, str]


def read_prompts(path: Path) -> PromptBook:
    """Read ``prompts.yaml``: version 1, ``categories`` -> list of {arm, text, negative, tags}, or a mapping.

    The mapping has ``prompts`` (such a list), or ``factors`` and ``template``, or both; and ``product_words``,
    ``negative`` and ``tags`` for all of them. docs/prompts.md explains each.

    Raises:
        InvalidInputError: naming the file, the place and the rule that is broken.
    """
    document = read_document(path, "categories")
    if document.get("draft", False) is not False:
        message = (
            f"{path} is a draft: review it, mark what is good with 'keep: true', then 'backdrop prompts freeze' it"
        )
        raise InvalidInputError(message)
    categories = document["categories"]
    if not isinstance(categories, dict) or not categories:
        message = f"{path}: 'categories' must map each category to a list of prompts"
        raise InvalidInputError(message)
    try:
        return PromptBook(MappingProxyType(dict(_category(*entry) for entry in categories.items())))
    except InvalidInputError as error:
        message = f"{path}: {error}"
        raise InvalidInputError(message) from error


def _category(key: object, entry: object) -> tuple[str, tuple[Prompt, ...]]:
    name = check_name("category", name_of("a category", key))
    prompts = tuple(_prompts(name, entry))
    if not prompts:
        message = f"category {name!r} must have a list of at least one prompt"
        raise InvalidInputError(message)
    if len(prompts) > MAX_PROMPTS:
        message = f"category {name!r} has {len(prompts)} prompts, at most {MAX_PROMPTS}"
        raise InvalidInputError(message)
    twice = sorted(arm for arm, count in Counter(prompt.arm for prompt in prompts).items() if count > 1)
    if twice:
        message = f"category {name!r} names an arm twice: {twice[:10]}"
        raise InvalidInputError(message)
    return name, prompts


def _prompts(name: str, entry: object) -> Iterator[Prompt]:
    if isinstance(entry, list):
        yield from (_listed(_Shared(name, (), Template(()), {}), each) for each in entry)
        return
    given = mapping(f"category {name!r}", entry, _CATEGORY)
    shared = _Shared(
        name,
        product_words(name, given.get("product_words")),
        template(f"negative of {name}", given.get("negative")),
        tags(name, given.get("tags")),
    )
    listed = given.get("prompts", [])
    if not isinstance(listed, list):
        message = f"prompts of {name!r} are {shown(listed)}: give a list"
        raise InvalidInputError(message)
    yield from (_listed(shared, each) for each in listed)
    if ("factors" in given) != ("template" in given):
        message = f"category {name!r} has factors or a template without the other: a template says where factors go"
        raise InvalidInputError(message)
    if "factors" in given:
        yield from _varied(shared, given["factors"], template(f"template of {name}", given["template"]))


def _listed(shared: _Shared, entry: object) -> Prompt:
    given = mapping(f"a prompt of {shared.category!r}", entry, _ENTRY)
    arm = check_name("arm", name_of(f"arm of {shared.category}", given.get("arm", "")))
    where = f"{shared.category}/{arm}"
    text = template(f"text of {where}", given.get("text"))
    if not text.parts:
        message = f"prompt {where} has no text"
        raise InvalidInputError(message)
    negative = template(f"negative of {where}", given["negative"]) if "negative" in given else shared.negative
    return _prompt(shared, arm, text, negative, {**shared.tags, **tags(where, given.get("tags"))})


def _varied(shared: _Shared, factors: object, text: Template) -> Iterator[Prompt]:
    for each in variations(shared.category, read_factors(shared.category, factors, shared.words), text):
        yield _prompt(shared, each.arm, each.text, shared.negative, {**shared.tags, **each.levels})


def _prompt(shared: _Shared, arm: str, text: Template, negative: Template, tags: Mapping[str, str]) -> Prompt:
    if arm == ORIGINAL_ARM:
        message = f"{shared.category!r} has a prompt named {ORIGINAL_ARM!r}, which means the untouched photo"
        raise InvalidInputError(message)
    where = f"text of {shared.category}/{arm}"
    refuse_words(where, text.plain, shared.words)
    written = str(text)
    if len(written) > MAX_PROMPT_CHARS:
        message = f"{where} has {len(written)} characters, at most {MAX_PROMPT_CHARS}"
        raise InvalidInputError(message)
    kept = MappingProxyType(dict(sorted(tags.items())))
    return Prompt(arm, shared.category, written, negated(str(negative), shared.words), kept, shared.words)
