"""Prompts and placements: the two YAML files that say what to paint and for which slots."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import yaml

from contracts import ORIGINAL_ARM, InvalidInputError, Placement, Prompt, check_name

VERSION = 1
MAX_PROMPT_CHARS = 1_000
MIN_SLOT, MAX_SLOT = 32, 4_096
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
    document = _document(path, "categories")
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


def read_placements(path: Path) -> tuple[Placement, ...]:
    """Read ``placements.yaml``: version 1, list of {placement, width, height, position, description}.

    Raises:
        InvalidInputError: naming the file, the place and the rule that is broken.
    """
    entries = _document(path, "placements")["placements"]
    if not isinstance(entries, list) or not entries:
        message = f"{path}: 'placements' must be a list of at least one placement"
        raise InvalidInputError(message)
    placements = tuple(_placement(path, entry) for entry in entries)
    names = [placement.placement for placement in placements]
    if len(set(names)) < len(names):
        message = f"{path}: a placement is named twice: {sorted(n for n in names if names.count(n) > 1)}"
        raise InvalidInputError(message)
    return placements


def _document(path: Path, key: str) -> dict[str, object]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path} cannot be read as YAML: {error}"
        raise InvalidInputError(message) from error
    if not isinstance(document, dict) or document.get("version") != VERSION or key not in document:
        message = f"{path} must be a mapping with 'version: {VERSION}' and '{key}'"
        raise InvalidInputError(message)
    return document


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


def _placement(path: Path, entry: object) -> Placement:
    if not isinstance(entry, dict):
        message = f"{path}: placement {entry!r} is not a mapping with 'placement', 'width' and 'height'"
        raise InvalidInputError(message)
    name = check_name("placement", str(entry.get("placement", "")))
    sides = []
    for side in ("width", "height"):
        value = entry.get(side)
        if not isinstance(value, int) or isinstance(value, bool) or not MIN_SLOT <= value <= MAX_SLOT:
            message = f"{path}: {side} of placement {name!r} is {value!r}, it must be {MIN_SLOT} to {MAX_SLOT} pixels"
            raise InvalidInputError(message)
        sides.append(value)
    return Placement(name, sides[0], sides[1], str(entry.get("position") or ""), str(entry.get("description") or ""))
