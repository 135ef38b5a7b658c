"""Texts with placeholders: ``{name}``, or ``{name|what to say without it}``; ``{{`` and ``}}`` are braces."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from contracts import InvalidInputError

_NAME = re.compile(r"[^\W\d]\w{0,63}")
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Field:
    """A placeholder: an attribute's name and what stands for it where it is missing (None: nothing may)."""

    name: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A text in parts: plain words and fields."""

    parts: tuple[str | Field, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its placeholders, in order."""
        return tuple(part for part in self.parts if isinstance(part, Field))

    @property
    def plain(self) -> str:
        """What it says with every default put in and fields without one left out."""
        return self.filled(lambda field: field.default or "")

    def filled(self, value: Callable[[Field], str]) -> str:
        """The text with each field's value in its place; a value is never looked at for placeholders."""
        return "".join(part if isinstance(part, str) else value(part) for part in self.parts)

    def expanded(self, texts: "Mapping[str, Template]") -> "Template":
        """The template with those fields that ``texts`` names replaced by its parts."""
        parts: list[str | Field] = []
        for part in self.parts:
            parts += texts[part.name].parts if isinstance(part, Field) and part.name in texts else (part,)
        return Template(tuple(parts))

    def __str__(self) -> str:
        """As it is written in a file."""
        return "".join(_written(part) for part in self.parts)


@lru_cache(maxsize=4_096)
def parse_template(text: str) -> Template:
    """Read a text with placeholders; names are lower case, ``color`` means ``colour``.

    Raises:
        InvalidInputError: quoting the brace or the name that is wrong.
    """
    return Template(tuple(_parts(text)))


def attribute_name(raw: str) -> str:
    """The one spelling of an attribute's name: ``g:Color`` is ``colour``."""
    plain = "_".join(raw.strip().lower().removeprefix("g:").split())
    return "colour" if plain == "color" else plain


def _parts(text: str) -> Iterator[str | Field]:
    end = 0
    for found in _TOKEN.finditer(text):
        yield from _some(text[end : found.start()])
        end = found.end()
        token = found[0]
        if token in {"{{", "}}"}:
            yield token[0]
        elif found[1] is None:
            place = text[max(0, found.start() - _SHOWN // 2) : found.start() + _SHOWN // 2]
            message = (
                f"a single {token!r} at character {found.start() + 1} ({place!r}): write {token * 2!r} for a brace"
            )
            raise InvalidInputError(message)
        else:
            yield _field(found[1])
    yield from _some(text[end:])


def _some(words: str) -> Iterator[str]:
    if words:
        yield words


def _field(inside: str) -> Field:
    name, bar, default = inside.partition("|")
    if _NAME.fullmatch(name) is None:
        message = (
            f"placeholder {{{inside[:_SHOWN]}}} has no valid name: write {{name}} or {{name|default}}, "
            "a name being up to 64 letters, digits and _"
        )
        raise InvalidInputError(message)
    return Field(attribute_name(name), default.strip() if bar else None)


def _written(part: str | Field) -> str:
    if isinstance(part, str):
        return part.replace("{", "{{").replace("}", "}}")
    return f"{{{part.name}}}" if part.default is None else f"{{{part.name}|{part.default}}}"
