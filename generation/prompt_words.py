"""Words that name the product itself: said in a prompt, they could make the model paint a second one."""

import re
from collections.abc import Sequence

from contracts import InvalidInputError

MAX_WORDS, MAX_WORD_CHARS = 50, 60


def check_word(value: object) -> str:
    """Return a product word in lower case, its blanks single.

    Raises:
        InvalidInputError: if it is no text of 1 to 60 characters with a letter.
    """
    word = " ".join(value.lower().split()) if isinstance(value, str) else ""
    if not 0 < len(word) <= MAX_WORD_CHARS or not any(letter.isalpha() for letter in word):
        message = f"product word {str(value)[:80]!r}: it must be a text of 1 to {MAX_WORD_CHARS} characters"
        raise InvalidInputError(message)
    return word


# What joined a dropped word to the rest.
_LOOSE = re.compile(
    r"^(?:(?:and|or|with|of|for|the|an?)\b|[\s,;–/&-])+|(?:\b(?:and|or|with|of|for|the|an?)|[\s,;–/&-])+$",
    re.IGNORECASE,
)


def first_word(text: str, words: Sequence[str]) -> str | None:
    """The first of ``words`` that ``text`` says as a whole word, in any case, singular or plural; None if none."""
    return next((word for word in words if _pattern(word).search(text)), None)


def without_words(text: str, words: Sequence[str]) -> str:
    """``text`` without those words (longest first) and without what then joins nothing: commas, "and" at an end."""
    if first_word(text, words) is None:
        return text
    for word in sorted(words, key=len, reverse=True):
        text = _pattern(word).sub(" ", text)
    text = re.sub(r"\s+([,;.])", r"\1", " ".join(text.split()))
    return _LOOSE.sub("", re.sub(r"([,;])(?:\s*[,;])+", r"\1", text))


def negated(negative: str, words: Sequence[str]) -> str:
    """``negative`` with "second <word>" for each of ``words`` that it does not say already."""
    said = [part.strip() for part in negative.lower().split(",")]
    added = [f"second {word}" for word in words if f"second {word}" not in said]
    return ", ".join([*([negative] if negative else []), *added])


def _pattern(word: str) -> re.Pattern[str]:
    # English plurals by rule: chair(s), bench(es), berry/berries. Others ("shelves") are words of their own.
    parts = [re.escape(part) for part in word.split()]
    last = parts[-1]
    parts[-1] = f"(?:{last[:-1]}(?:y|ies)|{last}s)" if last.endswith("y") else f"{last}(?:e?s)?"
    joined = r"[\s-]+".join(parts)
    return re.compile(rf"(?<!\w){joined}(?!\w)", re.IGNORECASE)
