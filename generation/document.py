"""The YAML files that people write: a mapping with a version and what the file is about."""

from pathlib import Path

import yaml

from contracts import InvalidInputError

VERSION = 1
MAX_BYTES = 4 << 20
MAX_NODES = 200_000


def read_document(path: Path, key: str) -> dict[str, object]:
    """Read a file of version 1 that has ``key``; aliases may not swell it beyond 200,000 entries.

    Raises:
        InvalidInputError: naming the file and what is wrong with it.
    """
    try:
        document = _loaded(path)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, InvalidInputError) as error:
        message = f"{path} cannot be read as YAML: {error}"
        raise InvalidInputError(message) from error
    if not isinstance(document, dict) or document.get("version") != VERSION or key not in document:
        message = f"{path} must be a mapping with 'version: {VERSION}' and '{key}'"
        raise InvalidInputError(message)
    return document


def _loaded(path: Path) -> object:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        message = f"it is longer than {MAX_BYTES} bytes: split it"
        raise InvalidInputError(message)
    loader = yaml.SafeLoader(data.decode())
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, counted: dict[int, int]) -> int:
    """How many entries a node stands for once its aliases are written out; a node in the making counts 0.

    Raises:
        InvalidInputError: if they are too many, a node holds itself, or a mapping has a key twice.
    """
    if id(node) in counted:
        if not counted[id(node)]:
            message = f"an alias refers to what it is part of (line {node.start_mark.line + 1})"
            raise InvalidInputError(message)
        return counted[id(node)]
    counted[id(node)] = 0
    total = 1
    if isinstance(node, yaml.MappingNode):
        _refuse_twice(node)
        total += sum(_count(part, counted) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_count(part, counted) for part in node.value)
    if total > MAX_NODES:
        message = f"aliases make it more than {MAX_NODES} entries (line {node.start_mark.line + 1}): write less"
        raise InvalidInputError(message)
    counted[id(node)] = total
    return total


def _refuse_twice(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if (key.tag, key.value) in seen:
            message = f"{key.value!r} stands twice in one mapping (line {key.start_mark.line + 1}): leave one"
            raise InvalidInputError(message)
        seen.add((key.tag, key.value))
