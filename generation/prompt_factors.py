"""Controlled variations: every combination of the levels of named factors, put into one template."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

from contracts import InvalidInputError, check_name
from generation.prompt_entry import TAGS, check_tag, mapping, refuse_words, shown, template
from generation.prompt_template import Template

MAX_COMBINATIONS = 256
ARM_SEPARATOR = "_"

Factors = Mapping[str, Mapping[str, Template]]


@dataclass(frozen=True, slots=True)
class Variation:
    """One combination: its arm (level names, joined), the level of every factor, and the text."""

    arm: str
    levels: Mapping[str, str]
    text: Template


def read_factors(where: str, value: object, words: tuple[str, ...]) -> Factors:
    """Factors as name -> level -> words; levels of surface, scene, light and mood are tags that can be painted.

    Raises:
        InvalidInputError: naming the factor or level that is wrong, or the number of combinations over the limit.
    """
    factors: dict[str, dict[str, Template]] = {}
    for name, given in mapping(f"factors of {where}", value).items():
        factor = check_name("factor", name)
        levels = mapping(f"factor {factor} of {where}", given)
        if not levels:
            message = f"factor {factor} of {where} has no levels: write level: words"
            raise InvalidInputError(message)
        factors[factor] = {level: _level(where, factor, level, said, words) for level, said in levels.items()}
    combinations = prod(len(levels) for levels in factors.values())
    if not factors or combinations > MAX_COMBINATIONS:
        message = f"factors of {where} have {combinations} combinations, 1 to {MAX_COMBINATIONS} are allowed"
        raise InvalidInputError(message if factors else f"factors of {where} are empty: name at least one")
    return factors


def variations(where: str, factors: Factors, text: Template) -> Iterator[Variation]:
    """Every combination, the last factor changing fastest; arms are levels in the order of the factors.

    Raises:
        InvalidInputError: if ``text`` leaves a factor out, or gives one a default.
    """
    named = {field.name for field in text.fields}
    missing = [name for name in factors if name not in named]
    if missing:
        message = f"template of {where} does not say {missing}: put {{{missing[0]}}} where its words belong"
        raise InvalidInputError(message)
    defaults = [field.name for field in text.fields if field.name in factors and field.default is not None]
    if defaults:
        message = f"template of {where} gives the factor {defaults[0]} a default, but every picture has a level of it"
        raise InvalidInputError(message)
    for chosen in product(*(levels.items() for levels in factors.values())):
        levels = {factor: level for factor, (level, _) in zip(factors, chosen, strict=True)}
        words = {factor: said for factor, (_, said) in zip(factors, chosen, strict=True)}
        yield Variation(check_name("arm", ARM_SEPARATOR.join(levels.values())), levels, text.expanded(words))


def _level(where: str, factor: str, level: str, said: object, words: tuple[str, ...]) -> Template:
    place = f"level {factor}: {level} of {where}"
    check_name("level", level)
    if factor in TAGS:
        check_tag(place, factor, level)
    read = template(place, said)
    if not read.parts:
        message = f"{place} is {shown(said)}: say in words what it looks like"
        raise InvalidInputError(message)
    refuse_words(place, read.plain, words)
    return read
