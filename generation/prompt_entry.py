"""Fields of the prompt file: texts, tags and words, checked; errors name the place."""

from collections.abc import Mapping
from types import MappingProxyType

from contracts import InvalidInputError
from generation.prompt_template import Template, parse_template
from generation.prompt_values import odd_character
from generation.prompt_words import MAX_WORDS, check_word, first_word

MAX_PROMPT_CHARS = 1_000
TAGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "surface": ("oak", "walnut", "marble", "concrete", "linen", "terrazzo", "slate", "sand", "grass", "tile"),
        "scene": (
            "living-room", "studio-gradient", "loft-window", "garden", "beach", "city-night", "kitchen",
            "shelf-wall", "forest", "sunset-sky",
        ),
        "light": ("soft-morning", "golden-hour", "bright-noon", "cool-evening", "spotlight"),
        "mood": ("calm", "warm", "fresh", "dramatic", "playful"),
    }
)  # fmt: skip


def mapping(where: str, value: object, keys: tuple[str, ...] = ()) -> dict[str, object]:
    """``value`` as a mapping from text, with no keys but ``keys`` (any, if there are none).

    Raises:
        InvalidInputError: naming the place and what is wrong.
    """
    if not isinstance(value, dict):
        message = f"{where} is {shown(value)}, not a mapping" + (f" with {', '.join(keys)}" if keys else "")
        raise InvalidInputError(message)
    found = {name_of(f"a key of {where}", key): each for key, each in value.items()}
    unknown = [key for key in found if keys and key not in keys]
    if unknown:
        message = f"{where} has {unknown}: known are {', '.join(keys)}"
        raise InvalidInputError(message)
    return found


def name_of(where: str, value: object) -> str:
    """A name: text, or a whole number as text; YAML takes ``on``, ``no`` and ``1.5`` for something else.

    Raises:
        InvalidInputError: naming the place and the value.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        message = f"{where} is {shown(value)}, which YAML does not take for text: put it in quotes"
        raise InvalidInputError(message)
    return str(value)


def template(where: str, value: object) -> Template:
    """A text of at most 1,000 characters with placeholders, its blanks single; None is empty.

    Raises:
        InvalidInputError: naming the place and what is wrong.
    """
    text = "" if value is None else " ".join(name_of(where, value).split())
    if len(text) > MAX_PROMPT_CHARS:
        message = f"{where} has {len(text)} characters, at most {MAX_PROMPT_CHARS}"
        raise InvalidInputError(message)
    odd = odd_character(text)
    if odd is not None:
        message = f"{where} holds the character U+{ord(odd):04X}, which does not print: take it out"
        raise InvalidInputError(message)
    try:
        return parse_template(text)
    except InvalidInputError as error:
        message = f"{where}: {error}"
        raise InvalidInputError(message) from error


def tags(where: str, value: object) -> dict[str, str]:
    """Tags by kind.

    Raises:
        InvalidInputError: naming the tag that is unknown.
    """
    found = {} if value is None else mapping(f"tags of {where}", value)
    for kind, tag in found.items():
        check_tag(where, kind, tag)
    return {kind: str(tag) for kind, tag in sorted(found.items())}


def check_tag(where: str, kind: str, tag: object) -> None:
    """Refuse a tag that nothing paints.

    Raises:
        InvalidInputError: naming it, and those that are known.
    """
    if kind not in TAGS or tag not in TAGS[kind]:
        known = list(TAGS[kind]) if kind in TAGS else f"tags {list(TAGS)}"
        message = f"tag {kind}: {shown(tag)} of {where} is unknown; use {known}"
        raise InvalidInputError(message)


def tags_said(text: str) -> dict[str, str]:
    """Of each kind the first tag whose words a text says."""
    return {
        kind: next(tag for tag in known if _says(text, tag))
        for kind, known in TAGS.items()
        if any(_says(text, tag) for tag in known)
    }


def product_words(where: str, value: object) -> tuple[str, ...]:
    """The product words of a category.

    Raises:
        InvalidInputError: if they are no list of texts.
    """
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_WORDS:
        message = f"product_words of {where} are {shown(value)}: give a list of at most {MAX_WORDS} words"
        raise InvalidInputError(message)
    return tuple(dict.fromkeys(check_word(word) for word in value))


def refuse_words(where: str, text: str, words: tuple[str, ...]) -> None:
    """Refuse a text that says a product word.

    Raises:
        InvalidInputError: naming word and place.
    """
    word = first_word(text, words)
    if word is not None:
        message = (
            f"{where} says the product word {word!r}, which could make the model paint a second one: "
            "describe the surroundings alone"
        )
        raise InvalidInputError(message)


def _says(text: str, tag: str) -> bool:
    return tag in text or tag.replace("-", " ") in text


def shown(value: object) -> str:
    """A value for an error, short whatever it is: aliases can make a small file mean a huge value."""
    return f"a {type(value).__name__} of {len(value)}" if isinstance(value, list | dict) else repr(value)[:80]
