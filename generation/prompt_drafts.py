"""Draft files: what a model wrote, until a person has marked what to keep; and how that enters the prompt file."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from contracts import InvalidInputError, SetupError
from generation.document import read_document
from generation.prompt_entry import mapping, name_of, tags_said
from generation.prompts import read_prompts

_HEAD = """\
version: 1
draft: true
# Read each text. Mend it, give it a name ('arm') and tags, and write 'keep: true' where it is good.
# Then: backdrop prompts freeze {name} --into prompts.yaml
"""
_WIDTH = 100


class _Written(yaml.SafeDumper):
    """Writes what is meant twice twice: anchors could be those of the file."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def write_drafts(path: Path, category: str, texts: Sequence[str]) -> None:
    """Write a draft file of ``texts``; tags are those whose words a text says.

    Raises:
        InvalidInputError: if there are no texts, or the file exists (it may hold someone's review).
        SetupError: if it cannot be written.
    """
    if not texts:
        message = f"there are no drafts for {category!r} to write: ask for more, or another model"
        raise InvalidInputError(message)
    entries = [{"keep": False, "arm": _arm(text), "text": text, "tags": tags_said(text)} for text in texts]
    body = _dumped({"categories": {category: entries}})
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_HEAD.format(name=path.name) + body)
    except FileExistsError as error:
        message = f"{path} exists and may hold a review: choose another file, or remove it"
        raise InvalidInputError(message) from error
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror}): choose another file"
        raise SetupError(message) from error


def read_kept(path: Path) -> dict[str, list[dict[str, object]]]:
    """The entries of a draft file that are marked ``keep: true``, by category, as they enter a prompt file.

    Raises:
        InvalidInputError: if it is no draft file, a mark is neither true nor false, or nothing is kept.
    """
    document = read_document(path, "categories")
    if document.get("draft") is not True:
        message = f"{path} is no draft: it lacks 'draft: true'"
        raise InvalidInputError(message)
    kept: dict[str, list[dict[str, object]]] = {}
    for category, entries in mapping(f"{path}: categories", document["categories"]).items():
        if not isinstance(entries, list):
            message = f"{path}: category {category!r} has no list of drafts"
            raise InvalidInputError(message)
        for each in entries:
            entry = mapping(f"{path}: a draft of {category!r}", each)
            keep = entry.pop("keep", False)
            if not isinstance(keep, bool):
                message = f"{path}: keep of {category}/{entry.get('arm')} is {str(keep)[:40]!r}: write true or false"
                raise InvalidInputError(message)
            if keep:
                kept.setdefault(category, []).append(entry)
    if not kept:
        message = f"{path} keeps nothing: mark what is good with 'keep: true'"
        raise InvalidInputError(message)
    return kept


def freeze(drafts: Path, into: Path) -> int:
    """Put a draft file's kept entries into the prompt file; returns how many. Text that is there stays as it is.

    Whole or not at all: the new file is read back as prompts before it takes the place of the old.

    Raises:
        InvalidInputError: if the drafts cannot be used, an arm is there already, or the file's form has no place
            for them.
        SetupError: if it cannot be written.
    """
    kept, into = read_kept(drafts), into.resolve()
    before = read_document(into, "categories")
    # Bytes, so that line ends stay what they are.
    text = into.read_bytes().decode()
    text += "" if text.endswith("\n") else "\n"
    for category, entries in kept.items():
        text = _inserted(into, text, category, entries)
    beside = into.with_name(f".{into.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(text.encode())
        shutil.copymode(into, beside)
        if not _means(beside, _joined(before, kept)):
            message = f"{into} is written in a way that cannot be added to: put the entries in by hand"
            raise InvalidInputError(message)
        _read_as(beside, into)
        os.replace(beside, into)
    except OSError as error:
        message = f"{into} cannot be written ({error.strerror})"
        raise SetupError(message) from error
    finally:
        beside.unlink(missing_ok=True)
    return sum(len(entries) for entries in kept.values())


def _means(path: Path, document: dict[str, object]) -> bool:
    try:
        return read_document(path, "categories") == document
    except InvalidInputError:
        return False


def _read_as(beside: Path, into: Path) -> None:
    try:
        read_prompts(beside)
    except InvalidInputError as error:
        raise InvalidInputError(str(error).replace(str(beside), str(into))) from error


def _dumped(value: object) -> str:
    text: str = yaml.dump(value, Dumper=_Written, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text


def _arm(text: str) -> str:
    return f"draft-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _joined(before: dict[str, object], kept: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    """What the prompt file must mean afterwards."""
    categories = dict(mapping("categories", before["categories"]))
    for category, entries in kept.items():
        held = categories.get(category, [])
        if isinstance(held, dict):
            listed = held.get("prompts") or []
            categories[category] = {**held, "prompts": [*listed, *entries]}
        else:
            categories[category] = [*(held if isinstance(held, list) else []), *entries]
    return {**before, "categories": categories}


def _inserted(path: Path, text: str, category: str, entries: list[dict[str, object]]) -> str:
    """The file's text with entries behind the last of the category's list, or a new list at the end of its block."""
    root = yaml.compose(text, yaml.SafeLoader)
    categories = _value(path, root, "categories")
    lines: list[str] = []
    held = _value(path, categories, category) if _has(categories, category) else None
    target, column = categories, _column(path, categories)
    if held is None:
        lines, column = [" " * column + f"{category}:"], column + 2
    elif isinstance(held, yaml.SequenceNode):
        target, column = held, _column(path, held)
    elif _has(held, "prompts"):
        target = _value(path, held, "prompts")
        column = _column(path, target)
    else:
        target, column = held, _column(path, held)
        lines = [" " * column + "prompts:"]
    lines += [" " * column + line if line else line for line in _dumped(entries).rstrip("\n").split("\n")]
    whole = text.split("\n")
    end = target.end_mark.line
    # A block ends where the next begins: what stands between may be about that.
    while end > 0 and (not whole[end - 1].strip() or whole[end - 1].lstrip().startswith("#")):
        end -= 1
    return "\n".join([*whole[:end], *lines, *whole[end:]])


def _has(node: yaml.Node, key: str) -> bool:
    return isinstance(node, yaml.MappingNode) and any(name.value == key for name, _ in node.value)


def _value(path: Path, node: yaml.Node | None, key: str) -> yaml.Node:
    if not isinstance(node, yaml.MappingNode):
        message = f"{path}: there is no block for {name_of('a key', key)}: put the entries in by hand"
        raise InvalidInputError(message)
    found: yaml.Node = next(value for name, value in node.value if name.value == key)
    return found


def _column(path: Path, node: yaml.Node) -> int:
    """Where the lines of a block begin."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style:
        message = f"{path} holds {{…}} or […] where entries are to be added: write a line for each first"
        raise InvalidInputError(message)
    return node.start_mark.column
