"""Prompts: the YAML file that says what to paint for each category."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from contracts import ORIGINAL_ARM, InvalidInputError, Prompt, check_name
from generation.document import read_document
from generation.layout import ANCHORS

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
        "anchor": ANCHORS,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PromptBook:
    """Prompts by category, in file order."""

    prompts: Mapping[str, tuple[Prompt, ...]]

    def of(self, category: str) -> tuple[Prompt, ...]:
        """The prompts of a category (empty if it is unknown)."""
        return self.prompts.get(category, ())


def read_prompts(path: Path) -> PromptBook:
    """Read ``prompts.yaml``: version 1, ``categories`` -> list of {arm, text, negative, tags}.

    Raises:
        InvalidInputError: naming the file, the place and the rule that is broken.
    """
    document = read_document(path, "categories")
    categories = document["categories"]
    if not isinstance(categories, dict) or not categories:
        message = f"{path}: 'categories' must map each category to a list of prompts"
        raise InvalidInputError(message)
    book: dict[str, tuple[Prompt, ...]] = {}
    for category, entries in categories.items():
        name = check_name("category", str(category))
        if not isinstance(entries, list) or not entries:
            message = f"{path}: category {name!r} must have a list of at least one prompt"
            raise InvalidInputError(message)
        prompts = tuple(_prompt(path, name, entry) for entry in entries)
        arms = [prompt.arm for prompt in prompts]
        if len(set(arms)) < len(arms):
            message = f"{path}: category {name!r} names an arm twice: {sorted(a for a in arms if arms.count(a) > 1)}"
            raise InvalidInputError(message)
        book[name] = prompts
    return PromptBook(MappingProxyType(book))


def _prompt(path: Path, category: str, entry: object) -> Prompt:
    if not isinstance(entry, dict):
        message = f"{path}: a prompt of {category!r} is {entry!r}, not a mapping with 'arm' and 'text'"
        raise InvalidInputError(message)
    arm = check_name("arm", str(entry.get("arm", "")))
    if arm == ORIGINAL_ARM:
        message = f"{path}: {category!r} has a prompt named {ORIGINAL_ARM!r}, which means the untouched photo"
        raise InvalidInputError(message)
    text, negative = str(entry.get("text") or "").strip(), str(entry.get("negative") or "").strip()
    for name, value in (("text", text), ("negative", negative)):
        if len(value) > MAX_PROMPT_CHARS:
            message = f"{path}: {name} of {category}/{arm} has {len(value)} characters, at most {MAX_PROMPT_CHARS}"
            raise InvalidInputError(message)
    if not text:
        message = f"{path}: prompt {category}/{arm} has no text"
        raise InvalidInputError(message)
    return Prompt(arm, category, text, negative, MappingProxyType(_tags(path, f"{category}/{arm}", entry.get("tags"))))


def _tags(path: Path, where: str, value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        message = f"{path}: tags of {where} are {value!r}, not a mapping"
        raise InvalidInputError(message)
    tags = {str(name): str(tag) for name, tag in value.items()}
    for name, tag in tags.items():
        if name not in TAGS or tag not in TAGS[name]:
            known = list(TAGS[name]) if name in TAGS else f"tags {list(TAGS)}"
            message = f"{path}: tag {name}: {tag} of {where} is unknown; use {known}"
            raise InvalidInputError(message)
    return dict(sorted(tags.items()))
